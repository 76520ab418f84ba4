// Implements a stand-in for the cuBLASLt calls of kernels/cuda. Like cuBLASLt, the stand-in is column-major and sums in
// fp32. A call returns an error if a leading dimension is too small, if layouts do not match, if an operand is outside
// device memory, or if a matrix is less aligned than declared. A call also returns an error if the preferences allow
// split-k to round partial sums to bf16.
#include <cublasLt.h>
#include <cuda_bf16.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "engine.h"
#include "runtime.h"

struct cublasLtContext {
  int unused;
};

namespace {

struct Layout {
  cudaDataType type;
  uint64_t rows, cols;
  int64_t ld, stride;
  int32_t batch;

  size_t element() const { return type == CUDA_R_16BF ? 2 : 4; }
  bool valid() const {
    return (type == CUDA_R_16BF || type == CUDA_R_32F) && rows > 0 && cols > 0 && ld >= int64_t(rows) && batch > 0;
  }
  // Bytes from the start of the first matrix to the end of the last matrix.
  size_t bytes() const { return (size_t(batch - 1) * size_t(stride) + (cols - 1) * size_t(ld) + rows) * element(); }
  float get(const void* base, size_t i) const {
    return type == CUDA_R_16BF ? __bfloat162float(static_cast<const __nv_bfloat16*>(base)[i])
                               : static_cast<const float*>(base)[i];
  }
  void set(void* base, size_t i, float value) const {
    if (type == CUDA_R_16BF)
      static_cast<__nv_bfloat16*>(base)[i] = __float2bfloat16(value);
    else
      static_cast<float*>(base)[i] = value;
  }
};

struct Description {
  cublasOperation_t transpose_a, transpose_b;
  cublasLtEpilogue_t epilogue;
  cudaDataType bias_type;
  const void* bias;
  void* auxiliary;
  int64_t auxiliary_ld;
  bool tf32;

  bool has(int part) const { return (epilogue & part) != 0; }
};
constexpr int bias_part = CUBLASLT_EPILOGUE_BIAS, gelu_part = CUBLASLT_EPILOGUE_GELU, slope_part = 64,
              auxiliary_part = 128, sums_of_b = CUBLASLT_EPILOGUE_BGRADB;

float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }
float inner(float x) { return 1.5957691216057308f * (x + 0.044715f * x * x * x); }
float gelu(float x) { return x * sigmoid(inner(x)); }
float gelu_slope(float x) {
  float s = sigmoid(inner(x));
  return s + x * s * (1.0f - s) * 1.5957691216057308f * (1.0f + 3.0f * 0.044715f * x * x);
}

cublasStatus_t of_heuristic = CUBLAS_STATUS_SUCCESS, of_product = CUBLAS_STATUS_SUCCESS;  // for epilogues
int fastest = -1;
emulation::Slow slow = emulation::Slow::none;

// Rounds to TF32, which has 10 bits of mantissa.
float to_tf32(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7f800000u) != 0x7f800000u) bits = (bits + 0x1000u) & ~0x1fffu;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

struct Preference {
  uint64_t workspace;
  uint32_t alignment[4], reductions;
};

// An algorithm's opaque bytes contain the shape and alignment for which the heuristic was called, and the number of the
// algorithm. cublasLtMatmul refuses an algorithm that was chosen for another shape.
struct Asked {
  uint64_t m, n, k;
  uint32_t alignment, algorithm;
};
static_assert(sizeof(Asked) <= sizeof(cublasLtMatmulAlgo_t));

template <typename Opaque>
Layout& layout_of(Opaque handle) {
  return *reinterpret_cast<Layout*>(handle);
}
template <typename Opaque>
Description& description_of(Opaque handle) {
  return *reinterpret_cast<Description*>(handle);
}

template <typename T>
cublasStatus_t assign(T& to, const void* from, size_t bytes) {
  if (bytes != sizeof(T)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&to, from, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

// Copies one batch entry of x, row by row, or column by column if outer_is_column.
std::vector<float> gather(const Layout& x, const void* base, int64_t entry, bool outer_is_column) {
  uint64_t outer = outer_is_column ? x.cols : x.rows, inner = outer_is_column ? x.rows : x.cols;
  std::vector<float> values(outer * inner);
  for (uint64_t o = 0; o < outer; ++o)
    for (uint64_t i = 0; i < inner; ++i) {
      uint64_t row = outer_is_column ? i : o, col = outer_is_column ? o : i;
      values[o * inner + i] = x.get(base, size_t(entry * x.stride) + col * size_t(x.ld) + row);
    }
  return values;
}

}  // namespace

namespace emulation {

void decline_epilogues(cublasStatus_t by_heuristic, cublasStatus_t by_product) {
  of_heuristic = by_heuristic;
  of_product = by_product;
}
void make_fastest(int algorithm) { fastest = algorithm; }
void make_slow(Slow products) { slow = products; }

}  // namespace emulation

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = new cublasLtContext{};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
size_t cublasLtGetVersion() { return 130000; }
const char* cublasLtGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_INVALID_VALUE ? "CUBLAS_STATUS_INVALID_VALUE" : "CUBLAS_STATUS_NOT_SUPPORTED";
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* handle, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  const bool tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  if ((compute != CUBLAS_COMPUTE_32F && !tf32) || scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  *handle = reinterpret_cast<cublasLtMatmulDesc_t>(
      new Description{CUBLAS_OP_N, CUBLAS_OP_N, CUBLASLT_EPILOGUE_DEFAULT, CUDA_R_32F, nullptr, nullptr, 0, tf32});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t handle) {
  delete &description_of(handle);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t handle, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  Description& d = description_of(handle);
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return assign(d.transpose_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return assign(d.transpose_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return assign(d.epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return assign(d.bias_type, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return assign(d.bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
      return assign(d.auxiliary, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
      return assign(d.auxiliary_ld, value, bytes);
    default:
      return CUBLAS_STATUS_NOT_SUPPORTED;
  }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* handle, cudaDataType type, uint64_t rows,
                                          uint64_t cols, int64_t ld) {
  *handle = reinterpret_cast<cublasLtMatrixLayout_t>(new Layout{type, rows, cols, ld, 0, 1});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t handle) {
  delete &layout_of(handle);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t handle,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                size_t bytes) {
  if (attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT) return assign(layout_of(handle).batch, value, bytes);
  if (attribute == CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET) return assign(layout_of(handle).stride, value, bytes);
  return CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* handle) {
  *handle = reinterpret_cast<cublasLtMatmulPreference_t>(
      new Preference{0, {256, 256, 256, 256}, CUBLASLT_REDUCTION_SCHEME_MASK});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t handle) {
  delete reinterpret_cast<Preference*>(handle);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t handle,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    size_t bytes) {
  Preference& p = *reinterpret_cast<Preference*>(handle);
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return assign(p.workspace, value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      return assign(p.reductions, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
      return assign(p.alignment[0], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
      return assign(p.alignment[1], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
      return assign(p.alignment[2], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
      return assign(p.alignment[3], value, bytes);
    default:
      return CUBLAS_STATUS_NOT_SUPPORTED;
  }
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t description,
                                              cublasLtMatrixLayout_t a_handle, cublasLtMatrixLayout_t b_handle,
                                              cublasLtMatrixLayout_t c_handle, cublasLtMatrixLayout_t d_handle,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t results[], int* count) {
  const Description& m = description_of(description);
  const Layout &a = layout_of(a_handle), &b = layout_of(b_handle), &d = layout_of(d_handle);
  bool ta = m.transpose_a != CUBLAS_OP_N, tb = m.transpose_b != CUBLAS_OP_N;
  uint64_t k = ta ? a.rows : a.cols;
  *count = 0;
  if (!a.valid() || !b.valid() || !d.valid() || c_handle != d_handle) return CUBLAS_STATUS_INVALID_VALUE;
  if ((ta ? a.cols : a.rows) != d.rows || (tb ? b.rows : b.cols) != d.cols || (tb ? b.cols : b.rows) != k)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (a.batch != d.batch || b.batch != d.batch || a.type != b.type) return CUBLAS_STATUS_INVALID_VALUE;
  if (a.type == CUDA_R_32F && d.type != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (of_heuristic && m.epilogue != CUBLASLT_EPILOGUE_DEFAULT) return of_heuristic;
  if (m.has(sums_of_b) && (m.bias_type != d.type || d.batch > 1)) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (m.tf32 && a.type != CUDA_R_32F) return CUBLAS_STATUS_INVALID_VALUE;
  const Preference& p = *reinterpret_cast<Preference*>(preference);
  if (d.type == CUDA_R_16BF && (p.reductions & ~uint32_t(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE)))
    return CUBLAS_STATUS_INVALID_VALUE;
  for (*count = 0; *count < std::min(requested, 8); ++*count) {
    Asked asked{d.rows, d.cols, k, *std::min_element(p.alignment, p.alignment + 4), uint32_t(*count)};
    std::memset(&results[*count], 0, sizeof *results);
    std::memcpy(&results[*count].algo, &asked, sizeof asked);
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t description, const void* alpha, const void* A,
                              cublasLtMatrixLayout_t a_handle, const void* B, cublasLtMatrixLayout_t b_handle,
                              const void* beta, const void* C, cublasLtMatrixLayout_t c_handle, void* D,
                              cublasLtMatrixLayout_t d_handle, const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              size_t workspace_bytes, cudaStream_t) {
  const Description m = description_of(description);
  const Layout a = layout_of(a_handle), b = layout_of(b_handle), d = layout_of(d_handle);
  bool ta = m.transpose_a != CUBLAS_OP_N, tb = m.transpose_b != CUBLAS_OP_N;
  uint64_t k = ta ? a.rows : a.cols;
  Asked asked;
  std::memcpy(&asked, algorithm, sizeof asked);
  uintptr_t addresses =
      reinterpret_cast<uintptr_t>(A) | reinterpret_cast<uintptr_t>(B) | reinterpret_cast<uintptr_t>(D);
  using emulation::is_device_range;
  auto overlap = [&](const void* x) {
    const char *first = static_cast<const char*>(x), *output = static_cast<const char*>(D);
    return first < output + d.bytes() && output < first + d.bytes();
  };
  if (asked.m != d.rows || asked.n != d.cols || asked.k != k || addresses % asked.alignment ||
      (C != D && (overlap(C) || !is_device_range(C, d.bytes()))) || c_handle != d_handle ||
      !is_device_range(A, a.bytes()) || !is_device_range(B, b.bytes()) || !is_device_range(D, d.bytes()) ||
      !is_device_range(workspace, workspace_bytes))
    return CUBLAS_STATUS_INVALID_VALUE;
  const uint64_t biases = m.has(sums_of_b) ? d.cols : d.rows;
  Layout bias_layout{m.bias_type, biases, 1, int64_t(biases), 0, 1};
  if (m.has(bias_part | sums_of_b) && !is_device_range(m.bias, bias_layout.bytes())) return CUBLAS_STATUS_INVALID_VALUE;
  Layout other{d.type, d.rows, d.cols, m.auxiliary_ld, 0, 1};
  if (m.has(auxiliary_part) && (d.batch > 1 || m.auxiliary_ld % 8 || !other.valid() || overlap(m.auxiliary) ||
                                !is_device_range(m.auxiliary, other.bytes())))
    return CUBLAS_STATUS_INVALID_VALUE;

  const bool epilogue = m.epilogue != CUBLASLT_EPILOGUE_DEFAULT;
  if (epilogue && of_product) return of_product;
  using emulation::Slow;
  if (slow == (epilogue ? Slow::with_epilogue : Slow::without) ||
      (fastest >= 0 && asked.algorithm != uint32_t(fastest)))
    emulation::let_time_pass();

  // Captures everything by value, because a recorded product must keep its arguments.
  float scale = *static_cast<const float*>(alpha), keep = *static_cast<const float*>(beta);
  auto multiply = [=] {
    if (emulation::count_work(emulation::Work::product)) return;
    emulation::DeviceMemoryOpen open;
    for (int64_t entry = 0; entry < d.batch; ++entry) {
      std::vector<float> left = gather(a, A, entry, ta), right = gather(b, B, entry, !tb);
      if (m.tf32)
        for (std::vector<float>* factor : {&left, &right})
          for (float& x : *factor) x = to_tf32(x);
      for (uint64_t col = 0; m.has(sums_of_b) && col < d.cols; ++col)
        bias_layout.set(const_cast<void*>(m.bias), col, std::accumulate(&right[col * k], &right[col * k] + k, 0.0f));
      for (uint64_t col = 0; col < d.cols; ++col)
        for (uint64_t row = 0; row < d.rows; ++row) {
          float sum = 0.0f;
          for (uint64_t first = 0; first <= asked.algorithm; ++first) {  // interleaved partial sums
            float part = 0.0f;
            for (uint64_t i = first; i < k; i += asked.algorithm + 1) part += left[row * k + i] * right[col * k + i];
            sum += part;
          }
          size_t at = size_t(entry * d.stride) + col * size_t(d.ld) + row, beside = col * size_t(other.ld) + row;
          float value = scale * sum + (keep != 0.0f ? keep * d.get(C, at) : 0.0f);  // with beta 0, C is not read
          if (m.has(bias_part)) value += bias_layout.get(m.bias, row);
          if (m.has(gelu_part)) {
            if (m.has(auxiliary_part)) other.set(m.auxiliary, beside, value);
            value = gelu(value);
          } else if (m.has(slope_part)) {
            value *= gelu_slope(other.get(m.auxiliary, beside));
          }
          d.set(D, at, value);
        }
    }
  };
  return emulation::queue(multiply) == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
}

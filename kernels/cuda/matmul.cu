// Matrix products through cuBLASLt, and bias gradients. plan_for() queries cuBLASLt's heuristic once for each different
// Product, and keeps the first answer. After a call of time_products(file), plan_for() instead uses the algorithm that
// the file holds for the product. If the file holds none, plan_for() times the heuristic's answers and adds the fastest
// to the file. Without the file, two timed runs with the same seed could choose different algorithms and differ in
// their last bits. Ranks must not differ either, so one of several ranks uses the fastest algorithm only after all
// ranks have agreed (note_products()).
// FLOPs of [m, k] times [k, n]: 2 m n k. Lower bound on the time in bf16: these FLOPs at the rate of the tensor cores.
// If cuBLASLt does not compute a bias gradient in the epilogue of a product, the gradient takes a separate pass over
// dout. The lower bound on the time of this pass is 2 bytes per bf16 value at the bandwidth of a copy.
#include <algorithm>
#include <cmath>
#include <tuple>

#include "base/error.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/product_choices.h"
#include "kernels/cuda/vector.cuh"
#include "kernels/gpu_workspace.h"

namespace rowan {
namespace {

using namespace cuda;

cudaDataType_t blas_type(DType dtype) { return dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

// The largest power of two, at most 256, that divides every address.
int alignment_of(std::initializer_list<const void*> pointers) {
  uintptr_t bits = 256;
  for (const void* pointer : pointers) bits |= reinterpret_cast<uintptr_t>(pointer);
  return static_cast<int>(bits & -bits);
}

// Partial column sums of x[rows, cols]. A block sums 32 * width columns over every gridDim.y-th group of 8 rows. The
// loop is unrolled by four, so that a thread has several loads in flight.
constexpr int column_warps = 8;
template <typename T, int width>
__global__ void column_sums_kernel(float* partial, const T* x, int64_t rows, int64_t cols) {
  SHARED_ARRAY(float, sums, column_warps* warp_size* width);
  int warp = threadIdx.x / warp_size;
  int64_t column = (int64_t{blockIdx.x} * warp_size + threadIdx.x % warp_size) * width;
  float mine[width] = {}, values[width];
  if (column < cols)
#pragma unroll 4
    for (int64_t n = int64_t{blockIdx.y} * column_warps + warp; n < rows; n += int64_t{gridDim.y} * column_warps) {
      load(values, x + n * cols + column);
#pragma unroll
      for (int i = 0; i < width; ++i) mine[i] += values[i];
    }
#pragma unroll
  for (int i = 0; i < width; ++i) sums[threadIdx.x * width + i] = mine[i];
  __syncthreads();
  if (warp > 0 || column >= cols) return;
  for (int w = 1; w < column_warps; ++w)
#pragma unroll
    for (int i = 0; i < width; ++i) mine[i] += sums[(w * warp_size + threadIdx.x) * width + i];
#pragma unroll
  for (int i = 0; i < width; ++i) partial[blockIdx.y * cols + column + i] = mine[i];
}

// out[rows, cols] += bias[cols].
template <typename T, int width>
__global__ void add_bias_kernel(T* out, const T* bias, int64_t rows, int64_t cols) {
  int64_t vectors = cols / width;
  for (int64_t i = thread_index(); i < rows * vectors; i += thread_count()) {
    float x[width], b[width];
    load(x, out + i * width);
    load(b, bias + i % vectors * width);
#pragma unroll
    for (int j = 0; j < width; ++j) x[j] += b[j];
    store(out + i * width, x);
  }
}

}  // namespace

bool CudaBackend::Product::operator<(const Product& other) const {
  auto key = [](const Product& p) {
    return std::make_tuple(p.m, p.n, p.k, p.lda, p.ldb, p.ldd, p.batch, p.stride_a, p.stride_b, p.stride_d,
                           p.transpose_a, p.transpose_b, p.in, p.out, p.epilogue, p.tf32, p.alignment);
  };
  return key(*this) < key(other);
}

std::string CudaBackend::Product::describe() const {
  return fmt::format("{} x {} x {}, ld {} {} {}, {} apart by {} {} {}, {}{} {} to {}{}, epilogue {}, aligned {}", m, n,
                     k, lda, ldb, ldd, batch, stride_a, stride_b, stride_d, transpose_a ? 't' : 'n',
                     transpose_b ? 't' : 'n', name_of(in), name_of(out), tf32 ? " tf32" : "", int(epilogue), alignment);
}

void CudaBackend::time_products(const std::string& file) {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, index_));
  choices_ = std::make_unique<cuda::ProductChoices>(
      file, fmt::format("{}, cuBLASLt {}", properties.name, cublasLtGetVersion()));
  timing_ = Timing::used;
}

bool CudaBackend::note_products(const std::string& file) {
  time_products(file);
  timing_ = choices_->empty() ? Timing::noted : Timing::none;
  return timing_ == Timing::noted;
}

std::string CudaBackend::noted_products() const { return choices_->text(); }

void CudaBackend::use_products(const std::string& choices) {
  choices_->read("the choices of all ranks", choices);
  timing_ = Timing::none;
  for (auto& [product, plan] : plans_)
    if (const cublasLtMatmulAlgo_t* chosen = choices_->find(product.describe())) plan.algorithm = *chosen;
  forget_recordings();
}

void CudaBackend::check(cublasStatus_t status) {
  if (status != CUBLAS_STATUS_SUCCESS)
    fail("{} on {}: cuBLASLt reports: {}", operation_, subject_.describe(), cublasLtGetStatusString(status));
}

const CudaBackend::Plan& CudaBackend::plan_for(const Product& p, const Operands& operands) {
  auto found = plans_.find(p);
  if (found != plans_.end()) return found->second;
  Plan plan{};
  check(cublasLtMatmulDescCreate(&plan.description, p.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F,
                                 CUDA_R_32F));
  auto describe = [&](cublasLtMatmulDescAttributes_t attribute, const auto& value) {
    check(cublasLtMatmulDescSetAttribute(plan.description, attribute, &value, sizeof value));
  };
  describe(CUBLASLT_MATMUL_DESC_TRANSA, p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  describe(CUBLASLT_MATMUL_DESC_TRANSB, p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  describe(CUBLASLT_MATMUL_DESC_EPILOGUE, p.epilogue);
  if (operands.bias) {
    describe(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, blas_type(p.out));
    describe(CUBLASLT_MATMUL_DESC_BIAS_POINTER, operands.bias);  // the heuristic may depend on the pointer's alignment
  }
  if (operands.auxiliary) {
    describe(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, p.ldd);
    describe(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, operands.auxiliary);
  }
  auto layout = [&](cublasLtMatrixLayout_t* to, DType dtype, int64_t rows, int64_t cols, int64_t ld, int64_t stride) {
    check(cublasLtMatrixLayoutCreate(to, blas_type(dtype), uint64_t(rows), uint64_t(cols), ld));
    if (p.batch == 1) return;
    int32_t batch = static_cast<int32_t>(p.batch);
    check(cublasLtMatrixLayoutSetAttribute(*to, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch, sizeof batch));
    check(cublasLtMatrixLayoutSetAttribute(*to, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride));
  };
  layout(&plan.a, p.in, p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k, p.lda, p.stride_a);
  layout(&plan.b, p.in, p.transpose_b ? p.n : p.k, p.transpose_b ? p.k : p.n, p.ldb, p.stride_b);
  layout(&plan.d, p.out, p.m, p.n, p.ldd, p.stride_d);

  cublasLtMatmulPreference_t preference;
  check(cublasLtMatmulPreferenceCreate(&preference));
  auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    check(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value));
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{blas_workspace_bytes});
  // Split-k is allowed, but partial sums must not be rounded to bf16.
  prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
         uint32_t(p.out == DType::f32 ? CUBLASLT_REDUCTION_SCHEME_MASK : CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  for (auto side : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    prefer(side, static_cast<uint32_t>(p.alignment));
  std::array<cublasLtMatmulHeuristicResult_t, 8> answers;  // the fastest first, by estimate
  int count = 0;
  cublasStatus_t asked =
      cublasLtMatmulAlgoGetHeuristic(blas_, plan.description, plan.a, plan.b, plan.d, plan.d, preference,
                                     timing_ == Timing::none ? 1 : int(answers.size()), answers.data(), &count);
  check(cublasLtMatmulPreferenceDestroy(preference));
  if (asked != CUBLAS_STATUS_NOT_SUPPORTED) check(asked);
  plan.possible = asked == CUBLAS_STATUS_SUCCESS && count > 0;
  if (plan.possible) plan.algorithm = answers[0].algo;
  if (plan.possible && choices_) {
    const std::string product = p.describe();
    if (const cublasLtMatmulAlgo_t* chosen = choices_->find(product)) {
      plan.algorithm = *chosen;
    } else if (timing_ != Timing::none) {
      std::vector<cublasLtMatmulAlgo_t> algorithms;
      for (int i = 0; i < count; ++i) algorithms.push_back(answers[i].algo);
      const cublasLtMatmulAlgo_t& best = algorithms[fastest(p, plan, operands, algorithms)];
      choices_->add(product, best);
      if (timing_ == Timing::used) {
        plan.algorithm = best;
        choices_->save();
      }
    }
  }
  return plans_.emplace(p, plan).first->second;
}

cublasStatus_t CudaBackend::run(const Plan& plan, const Operands& o, const cublasLtMatmulAlgo_t& algorithm) {
  return cublasLtMatmul(blas_, plan.description, &o.alpha, o.a, plan.a, o.b, plan.b, &o.beta, o.c, plan.d, o.d, plan.d,
                        &algorithm, blas_workspace_, blas_workspace_bytes, stream_);
}

int CudaBackend::fastest(const Product& p, const Plan& plan, const Operands& o,
                         const std::vector<cublasLtMatmulAlgo_t>& algorithms) {
  constexpr int repeats = 3;
  // If the product adds to d, each timed run changes d, so d is saved and restored.
  const bool adds = o.beta != 0 && o.c == o.d;
  const size_t bytes = static_cast<size_t>((p.batch - 1) * p.stride_d + (p.n - 1) * p.ldd + p.m) * size_of(p.out);
  void* before = adds ? reserve(bytes, Category::workspace) : nullptr;
  if (adds) check(cudaMemcpyAsync(before, o.d, bytes, cudaMemcpyDeviceToDevice, stream_));
  cudaEvent_t begin, end;
  check(cudaEventCreateWithFlags(&begin, cudaEventDefault));
  check(cudaEventCreateWithFlags(&end, cudaEventDefault));
  int best = 0;
  float least = INFINITY;
  for (size_t i = 0; i < algorithms.size(); ++i) {
    // The first run is not timed, because it may load code. If it fails, the algorithm is skipped.
    if (run(plan, o, algorithms[i]) != CUBLAS_STATUS_SUCCESS) continue;
    check(cudaEventRecord(begin, stream_));
    for (int repeat = 0; repeat < repeats; ++repeat) check(run(plan, o, algorithms[i]));
    check(cudaEventRecord(end, stream_));
    check(cudaEventSynchronize(end));
    float milliseconds;
    check(cudaEventElapsedTime(&milliseconds, begin, end));
    if (milliseconds < least) best = static_cast<int>(i), least = milliseconds;
  }
  check(cudaEventDestroy(begin));
  check(cudaEventDestroy(end));
  if (adds) check(cudaMemcpyAsync(o.d, before, bytes, cudaMemcpyDeviceToDevice, stream_));
  release(before);
  if (least == INFINITY) check(CUBLAS_STATUS_NOT_SUPPORTED);
  return best;
}

bool CudaBackend::try_multiply(Product p, const Operands& o) {
  if (p.m == 0 || p.n == 0 || p.batch == 0) return true;
  p.tf32 = tf32_ && p.in == DType::f32;
  p.alignment = alignment_of({o.d, o.c, o.a, o.b, o.bias, o.auxiliary});
  const Plan& plan = plan_for(p, o);
  if (!plan.possible) return false;
  auto point = [&](cublasLtMatmulDescAttributes_t attribute, const void* pointer) {
    if (pointer) check(cublasLtMatmulDescSetAttribute(plan.description, attribute, &pointer, sizeof pointer));
  };
  point(CUBLASLT_MATMUL_DESC_BIAS_POINTER, o.bias);
  point(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, o.auxiliary);
  check(run(plan, o, plan.algorithm));
  return true;
}

void CudaBackend::multiply(const Product& p, const Operands& operands) {
  if (!try_multiply(p, operands))
    fail("{} on {}: cuBLASLt has no algorithm for {} x {} x {}", operation_, subject_.describe(), p.n, p.m, p.k);
}

// The memory of a row-major matrix holds the transposed matrix in column-major order. So c = a b becomes c^T = b^T a^T:
// the operands change places and keep their transposition flags.
CudaBackend::Product CudaBackend::row_major(const Tensor& c, const Operand& a, const Operand& b) {
  Product p{};
  p.m = b.cols();
  p.n = a.rows();
  p.k = a.cols();
  p.lda = b.x.cols();
  p.ldb = a.x.cols();
  p.ldd = c.cols();
  p.batch = c.rank == 3 ? c.dim(0) : 1;
  p.stride_a = b.rows() * b.cols();
  p.stride_b = a.rows() * a.cols();
  p.stride_d = p.m * p.n;
  p.transpose_a = b.transposed;
  p.transpose_b = a.transposed;
  p.in = a.x.dtype;
  p.out = c.dtype;
  p.epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  return p;
}

void CudaBackend::do_linear_forward(Tensor out, Tensor in, Tensor weight, Tensor bias) {
  Product product = row_major(out, in, {weight, true});
  Operands operands{out.data, out.data, weight.data, in.data, 1.0f, 0.0f};
  if (bias.empty()) return multiply(product, operands);
  Product fused = product;
  fused.epilogue = CUBLASLT_EPILOGUE_BIAS;
  operands.bias = bias.data;
  if (try_multiply(fused, operands)) return;
  operands.bias = nullptr;
  multiply(product, operands);
  with_dtype(out.dtype, [&](auto type) {
    using T = decltype(type);
    with_width(vector_width({out.data, bias.data}, out.cols()), [&](auto w) {
      constexpr int width = decltype(w)::value;
      launch(add_bias_kernel<T, width>, grid_for(out.numel() / width, 256), 256, 0, out.as<T>(), bias.as<T>(),
             out.rows(), out.cols());
    });
  });
}

void CudaBackend::do_linear_backward_input(Tensor din, Tensor dout, Tensor weight, bool accumulate) {
  multiply(row_major(din, dout, weight), {din.data, din.data, weight.data, dout.data, 1.0f, accumulate ? 1.0f : 0.0f});
}

void CudaBackend::do_linear_backward_weight(Tensor d_weight, Tensor d_bias, Tensor dout, Tensor in, bool accumulate) {
  if (dout.dtype == DType::f32 && d_weight.dtype == DType::bf16) {  // cuBLASLt does not support these dtypes
    Tensor wide(workspace<float>(d_weight.numel()), DType::f32, {d_weight.dim(0), d_weight.dim(1)});
    multiply(row_major(wide, {dout, true}, in), {wide.data, wide.data, in.data, dout.data, 1.0f, 0.0f});
    accumulate ? do_add(d_weight, wide) : do_copy(d_weight, wide);
  } else {
    const Product product = row_major(d_weight, {dout, true}, in);
    const Operands operands{d_weight.data, d_weight.data, in.data, dout.data, 1.0f, accumulate ? 1.0f : 0.0f};
    if (!d_bias.empty() && try_bias_gradient(product, operands, d_bias, accumulate)) return;
    multiply(product, operands);
  }
  if (d_bias.empty()) return;
  int64_t rows = dout.rows(), cols = dout.cols();
  with_dtype(dout.dtype, [&](auto type) {
    using T = decltype(type);
    with_width(vector_width({dout.data}, cols), [&](auto w) {
      constexpr int width = decltype(w)::value;
      int64_t columns = ceil_div(cols, warp_size * width);
      int64_t groups = std::clamp<int64_t>(multiprocessors_ * 4 / columns, 1, ceil_div(rows, column_warps));
      float* partial = workspace<float>(groups * cols);
      launch(column_sums_kernel<T, width>, dim3(unsigned(columns), unsigned(groups)), column_warps * warp_size, 0,
             partial, dout.as<T>(), rows, cols);
      sum_partials(d_bias, partial, groups, accumulate);
    });
  });
}

// cuBLASLt's epilogue stores the bias gradient in the dtype of the product's result, and cannot add it to an earlier
// gradient.
bool CudaBackend::try_bias_gradient(Product product, Operands operands, Tensor d_bias, bool accumulate) {
  if (!hopper_ || product.out != DType::f32) return false;
  const bool direct = d_bias.dtype == DType::f32 && !accumulate;
  float* sums = direct ? d_bias.as<float>() : workspace<float>(d_bias.numel());
  product.epilogue = CUBLASLT_EPILOGUE_BGRADB;
  operands.bias = sums;
  if (!try_multiply(product, operands)) return false;
  if (!direct) sum_partials(d_bias, sums, 1, accumulate);
  return true;
}

void CudaBackend::do_matmul(Tensor c, const Operand& a, const Operand& b, float alpha, float beta, Result result) {
  do_matmul_add(c, c, a, b, alpha, beta, result);
}

void CudaBackend::do_matmul_add(Tensor c, Tensor source, const Operand& a, const Operand& b, float alpha, float beta,
                                Result result) {
  if (result == Result::symmetric) return multiply_symmetric(c, source, a, b, alpha, beta);
  multiply(row_major(c, a, b), {c.data, source.data, b.x.data, a.x.data, alpha, beta});
}

// cuBLASLt's GELU epilogue computes the tanh form. The row length of its auxiliary matrix must be a multiple of 8. As
// in llm.c, GPUs before Hopper do not use the epilogue.
bool CudaBackend::fuses(Activation kind, const Tensor& pre) const {
  return hopper_ && kind == Activation::gelu_tanh && pre.dtype == DType::bf16 &&
         vector_width({pre.data}, pre.cols()) > 1;
}

void CudaBackend::do_linear_activation_forward(Activation kind, Tensor out, Tensor pre, Tensor in, Tensor weight,
                                               Tensor bias) {
  if (fuses(kind, pre)) {
    Product product = row_major(out, in, {weight, true});
    product.epilogue = bias.empty() ? CUBLASLT_EPILOGUE_GELU_AUX : CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    if (try_multiply(product, {out.data, out.data, weight.data, in.data, 1.0f, 0.0f, bias.data, pre.data})) return;
  }
  Backend::do_linear_activation_forward(kind, out, pre, in, weight, bias);
}

void CudaBackend::do_linear_activation_backward(Activation kind, Tensor d_pre, Tensor dout, Tensor weight, Tensor pre) {
  if (fuses(kind, pre)) {
    Product product = row_major(d_pre, dout, weight);
    product.epilogue = CUBLASLT_EPILOGUE_DGELU;
    if (try_multiply(product, {d_pre.data, d_pre.data, weight.data, dout.data, 1.0f, 0.0f, nullptr, pre.data})) return;
  }
  Backend::do_linear_activation_backward(kind, d_pre, dout, weight, pre);
}

}  // namespace rowan

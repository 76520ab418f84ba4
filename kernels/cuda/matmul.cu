// Matrix products through cuBLASLt. plan_for() queries cuBLASLt's heuristic once for each different Product, and keeps
// the first answer. After a call of time_products(file), plan_for() instead uses the choice that the file holds for the
// product. If the file holds none, plan_for() times the heuristic's answers and, for a product with an epilogue, the
// same work without the epilogue, and adds the fastest to the file. Without the file, two timed runs with the same seed
// could choose differently and differ in their last bits. Ranks must not differ either, so one of several ranks uses
// its choice only after all ranks have agreed (note_products()).
// FLOPs of [m, k] times [k, n]: 2 m n k. Lower bound on the time in bf16: these FLOPs at the rate of the tensor cores.
#include <cmath>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/gpu_workspace.h"

namespace rowan {
namespace {

cudaDataType_t blas_type(DType dtype) { return dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

// The largest power of two, at most 256, that divides every address.
int alignment_of(std::initializer_list<const void*> pointers) {
  uintptr_t bits = 256;
  for (const void* pointer : pointers) bits |= reinterpret_cast<uintptr_t>(pointer);
  return static_cast<int>(bits & -bits);
}

bool has_epilogue(cublasLtEpilogue_t epilogue) { return epilogue != CUBLASLT_EPILOGUE_DEFAULT; }

// Whether cublasLtMatmul returns this status only before it starts any work, so that no operand has changed.
bool before_any_work(cublasStatus_t status) {
  return status == CUBLAS_STATUS_INVALID_VALUE || status == CUBLAS_STATUS_NOT_SUPPORTED ||
         status == CUBLAS_STATUS_ARCH_MISMATCH;
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
    if (const cuda::ProductChoice* chosen = choices_->find(product.describe())) {
      plan.choice = plan.noted = *chosen;
      plan.has_run = false;
    }
  forget_recordings();
}

void CudaBackend::check(cublasStatus_t status) {
  if (status != CUBLAS_STATUS_SUCCESS)
    fail("{} on {}: cuBLASLt reports: {}", operation_, subject_.describe(), cublasLtGetStatusString(status));
}

CudaBackend::Plan& CudaBackend::plan_for(const Product& p, const Operands& operands, const Apart& apart) {
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
  // cuBLASLt may decline an epilogue with any status. The caller can compute without the epilogue.
  if (!has_epilogue(p.epilogue) && asked != CUBLAS_STATUS_NOT_SUPPORTED) check(asked);
  plan.possible = asked == CUBLAS_STATUS_SUCCESS && count > 0;
  if (plan.possible) plan.choice.algorithm = answers[0].algo;
  plan.noted = plan.choice;
  if (plan.possible && choices_) {
    const std::string product = p.describe();
    if (const cuda::ProductChoice* chosen = choices_->find(product)) {
      plan.choice = plan.noted = *chosen;
    } else if (timing_ != Timing::none) {
      std::vector<cublasLtMatmulAlgo_t> algorithms;
      for (int i = 0; i < count; ++i) algorithms.push_back(answers[i].algo);
      if (const std::optional<cuda::ProductChoice> best = fastest(p, plan, operands, algorithms, apart)) {
        plan.noted = *best;
        choices_->add(product, *best);
        if (timing_ == Timing::used) {
          plan.choice = *best;
          choices_->save();
        }
      } else {
        plan.possible = false;
      }
    }
  }
  return plans_.emplace(p, plan).first->second;
}

cublasStatus_t CudaBackend::run(const Plan& plan, const Operands& o, const cublasLtMatmulAlgo_t& algorithm) {
  return cublasLtMatmul(blas_, plan.description, &o.alpha, o.a, plan.a, o.b, plan.b, &o.beta, o.c, plan.d, o.d, plan.d,
                        &algorithm, blas_workspace_, blas_workspace_bytes, stream_);
}

float CudaBackend::time_of(const std::function<void()>& work) {
  constexpr int repeats = 3;
  cudaEvent_t begin, end;
  check(cudaEventCreateWithFlags(&begin, cudaEventDefault));
  check(cudaEventCreateWithFlags(&end, cudaEventDefault));
  check(cudaEventRecord(begin, stream_));
  for (int repeat = 0; repeat < repeats; ++repeat) work();
  check(cudaEventRecord(end, stream_));
  check(cudaEventSynchronize(end));
  float milliseconds;
  check(cudaEventElapsedTime(&milliseconds, begin, end));
  check(cudaEventDestroy(begin));
  check(cudaEventDestroy(end));
  return milliseconds;
}

std::optional<cuda::ProductChoice> CudaBackend::fastest(const Product& p, const Plan& plan, const Operands& o,
                                                        const std::vector<cublasLtMatmulAlgo_t>& algorithms,
                                                        const Apart& apart) {
  // If the product adds to d, each timed run changes d, so d is saved and restored.
  const bool adds = o.beta != 0 && o.c == o.d;
  const size_t bytes = static_cast<size_t>((p.batch - 1) * p.stride_d + (p.n - 1) * p.ldd + p.m) * size_of(p.out);
  void* before = adds ? reserve(bytes, Category::workspace) : nullptr;
  if (adds) check(cudaMemcpyAsync(before, o.d, bytes, cudaMemcpyDeviceToDevice, stream_));
  std::optional<cuda::ProductChoice> best;
  float least = INFINITY;
  // First runs are not timed, because they may load code. If an algorithm's first run fails, the algorithm is skipped.
  for (const cublasLtMatmulAlgo_t& algorithm : algorithms) {
    if (run(plan, o, algorithm) != CUBLAS_STATUS_SUCCESS) continue;
    const float milliseconds = time_of([&] { check(run(plan, o, algorithm)); });
    if (milliseconds < least) best = cuda::ProductChoice{false, algorithm}, least = milliseconds;
  }
  if (adds) check(cudaMemcpyAsync(o.d, before, bytes, cudaMemcpyDeviceToDevice, stream_));
  release(before);
  if (best && apart) {
    const bool outer = std::exchange(timing_apart_, true);  // an Apart may contain a product that is timed too
    apart();
    if (time_of(apart) < least) best = cuda::ProductChoice{true, {}};
    timing_apart_ = outer;
  }
  if (!best && !has_epilogue(p.epilogue)) check(CUBLAS_STATUS_NOT_SUPPORTED);
  return best;
}

bool CudaBackend::try_multiply(Product p, const Operands& o, const Apart& apart) {
  if (p.m == 0 || p.n == 0 || p.batch == 0) return true;
  p.tf32 = tf32_ && p.in == DType::f32;
  p.alignment = alignment_of({o.d, o.c, o.a, o.b, o.bias, o.auxiliary, o.aligned_like});
  Plan& plan = plan_for(p, o, apart);
  const cuda::ProductChoice& choice = timing_apart_ ? plan.noted : plan.choice;
  if (!plan.possible || choice.apart) return false;
  auto point = [&](cublasLtMatmulDescAttributes_t attribute, const void* pointer) {
    if (pointer) check(cublasLtMatmulDescSetAttribute(plan.description, attribute, &pointer, sizeof pointer));
  };
  point(CUBLASLT_MATMUL_DESC_BIAS_POINTER, o.bias);
  point(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, o.auxiliary);
  const cublasStatus_t status = run(plan, o, choice.algorithm);
  // The caller then computes the product without the epilogue. If the product adds to d, d must not have changed.
  if (has_epilogue(p.epilogue) && !plan.has_run && status != CUBLAS_STATUS_SUCCESS &&
      (o.beta == 0 || before_any_work(status)))
    return plan.possible = false;
  check(status);
  return plan.has_run = true;
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

void CudaBackend::do_matmul(Tensor c, const Operand& a, const Operand& b, float alpha, float beta, Result result) {
  do_matmul_add(c, c, a, b, alpha, beta, result);
}

void CudaBackend::do_matmul_add(Tensor c, Tensor source, const Operand& a, const Operand& b, float alpha, float beta,
                                Result result) {
  if (result == Result::symmetric) return multiply_symmetric(c, source, a, b, alpha, beta);
  multiply(row_major(c, a, b), {c.data, source.data, b.x.data, a.x.data, alpha, beta});
}

}  // namespace rowan

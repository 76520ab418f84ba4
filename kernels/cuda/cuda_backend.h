// The CUDA backend: the operations of kernels/backend.h on one GPU. Kernels use launches, shared memory and PTX only
// through device.cuh, so tests/emulation can compile them for the CPU. nvcc compiles CUDA sources as C++17.
#pragma once

#include <cublasLt.h>

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/product_choices.h"

namespace rowan {

namespace cuda {
class CudnnAttention;
struct Slot;
struct SlotList;
struct SlotTypes;
}  // namespace cuda

class CudaBackend final : public Backend {
 public:
  CudaBackend(int index, AttentionKernels attention);
  ~CudaBackend() override;
  CudaBackend(const CudaBackend&) = delete;
  CudaBackend& operator=(const CudaBackend&) = delete;

  std::string name() const override { return "cuda"; }
  std::string describe() const override { return description_; }
  bool fast(DType) const override { return true; }
  void allow_tf32() override { tf32_ = true; }
  void time_products(const std::string& file) override;
  bool note_products(const std::string& file) override;
  std::string noted_products() const override;
  void use_products(const std::string& choices) override;
  std::string slow_attention(const AttentionShape& shape, DType dtype) const override;
  Limits limits() const override;
  bool host_memory() const override { return false; }
  cudaStream_t stream() const { return stream_; }

  void* allocate(size_t bytes, Category category) override;
  void release(void* memory) override;
  void plan_attention(const AttentionShape& shape, DType dtype) override;

 private:
  // begin() stores the operation and its main tensor for error messages. begin() and end() also mark a range for
  // profilers if NVTX is available.
  void begin(const char* operation, const Tensor& subject) override;
  void end() override;

#define ROWAN_OPERATION override
#include "kernels/backend_overrides.inc"
  void do_repeat(const void* owner, uint64_t key, const std::function<void()>& work) override;
  void do_matmul_add(Tensor c, Tensor source, const Operand& a, const Operand& b, float alpha, float beta,
                     Result result) override;
  void do_linear_activation_forward(Activation kind, Tensor out, Tensor pre, Tensor in, Tensor weight,
                                    Tensor bias) override;
  void do_linear_activation_backward(Activation kind, Tensor d_pre, Tensor dout, Tensor weight, Tensor pre) override;

  // A matrix product, or a batch of products, in cuBLASLt's terms: d[m, n] = epilogue(alpha op(a) op(b) + beta c). All
  // matrices are column-major.
  struct Product {
    int64_t m, n, k, lda, ldb, ldd, batch, stride_a, stride_b, stride_d;
    bool transpose_a, transpose_b;
    DType in, out;
    cublasLtEpilogue_t epilogue;
    bool tf32;
    int alignment;  // a power of two that divides the address of every operand

    bool operator<(const Product& other) const;
    // All fields as text. ProductChoices finds the product by this text.
    std::string describe() const;
  };
  struct Plan {
    cublasLtMatmulDesc_t description;
    cublasLtMatrixLayout_t a, b, d;
    bool possible;  // whether cuBLASLt has an algorithm for the product, as far as is known
    bool has_run;
    cuda::ProductChoice choice;
    cuda::ProductChoice noted;  // the faster choice, if ranks have not yet agreed to use it, else equal to `choice`
  };
  struct Operands {
    void* d;
    const void *c, *a, *b;
    float alpha, beta;
    // The bias [m] that the epilogue adds to d, or the bias gradient [n], which is the sum of b over k.
    const void* bias = nullptr;
    void* auxiliary = nullptr;  // GELU's input, written by the forward and read by the backward; has the layout of d
    const void* aligned_like = nullptr;  // the plan is for operands that are at most as aligned as this address
  };

  // If CUDA or cuBLASLt reports an error, throws an Error that names the latest operation and the operation's main
  // tensor.
  void check(cudaError_t error);
  void check(cublasStatus_t status);
  template <typename... Parameters>
  void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
              const std::common_type_t<Parameters>&... arguments) {
    check(cuda::launch(operation_, kernel, grid, block, shared_bytes, stream_, arguments...));
  }
  // Number of blocks for `work` items with one item per thread, up to a limit. If the limit is reached, a kernel's
  // grid-stride loop processes several items per thread.
  unsigned grid_for(int64_t work, int block) const;
  // Like allocate(), but does not zero the memory.
  void* reserve(size_t bytes, Category category);
  // Scratch memory of the running operation. A later call returns the same memory, or releases it and allocates more.
  template <typename T>
  T* workspace(int64_t count) {
    return static_cast<T*>(workspace(static_cast<size_t>(count) * sizeof(T)));
  }
  void* workspace(size_t bytes);
  // Waits for all queued work. Throws Error if a kernel has read an invalid token or target id since the last call.
  void wait();
  void forget_recordings();
  // Sorts the tokens by id. Returns the tokens' indices in this order, in workspace(). Ids outside the vocabulary come
  // last.
  const int* sorted(Tensor tokens, int64_t vocabulary);
  // to[cols] = the column sums of partial[count, cols] (+ to if accumulate).
  void sum_partials(Tensor to, const float* partial, int64_t count, bool accumulate);

  // Parts of optimizer operations; see optimizer_slots.cuh.
  template <typename Rule>
  void over_elements(void (*vectors)(cuda::SlotList, Rule), void (*scalars)(cuda::SlotList, Rule), int width,
                     const std::vector<cuda::Slot>& slots, const cuda::SlotTypes& types, const Rule& rule);
  void run_momentum(const std::vector<cuda::Slot>& slots, const cuda::SlotTypes& types, const MomentumRule& rule);
  void run_project(const std::vector<cuda::Slot>& slots, const cuda::SlotTypes& types, const ProjectRule& rule);
  void run_row_sums(const std::vector<cuda::Slot>& slots, const cuda::SlotTypes& types, float factor,
                    float most = INFINITY);
  void run_column_sums(const std::vector<cuda::Slot>& slots, const cuda::SlotTypes& types, float factor,
                       float most = INFINITY);
  void run_sums(float* out, float* rows, std::vector<cuda::Slot> slots, const cuda::SlotTypes& types, Along along,
                float factor, float most = INFINITY);
  void staged_steps(const std::vector<cuda::Slot>& slots, cuda::SlotTypes types, const NormalizedStepRule& rule);

  // The column-major product that computes c = a b for row-major tensors. The operands change places: the product's a
  // is the argument b, and the product's b is the argument a.
  static Product row_major(const Tensor& c, const Operand& a, const Operand& b);
  // Computes the same as a product with an epilogue, but without the epilogue. May run several times.
  using Apart = std::function<void()>;
  Plan& plan_for(const Product& product, const Operands& operands, const Apart& apart);
  // Runs the plan's product with `algorithm`.
  cublasStatus_t run(const Plan& plan, const Operands& operands, const cublasLtMatmulAlgo_t& algorithm);
  // Runs `work` several times and returns the total time in milliseconds.
  float time_of(const std::function<void()>& work);
  // Times the algorithms and, unless it is empty, `apart`. Returns the fastest choice, or nothing if no algorithm runs.
  // If the product adds to d, restores d afterwards.
  std::optional<cuda::ProductChoice> fastest(const Product& product, const Plan& plan, const Operands& operands,
                                             const std::vector<cublasLtMatmulAlgo_t>& algorithms, const Apart& apart);
  // Returns false, with d as it was, if cuBLASLt does not compute the product, or if timing has chosen `apart`. Without
  // `apart`, `apart` is not timed, but an earlier choice still holds.
  bool try_multiply(Product product, const Operands& operands, const Apart& apart = {});
  void multiply(const Product& product, const Operands& operands);
  // c = alpha a b + beta source for a symmetric result (symmetric.cu).
  void multiply_symmetric(Tensor c, Tensor source, const Operand& a, const Operand& b, float alpha, float beta);
  bool fuses(Activation kind, const Tensor& pre) const;
  // Runs a product that also computes the bias gradient. Like try_multiply(), may only return false.
  bool try_bias_gradient(Product product, Operands operands, Tensor d_bias, bool accumulate, const Apart& apart);

  int index_;
  int multiprocessors_ = 0;
  int64_t shared_limit_ = 0;  // bytes of dynamic shared memory that a block may use
  std::string description_;
  cudaStream_t stream_ = nullptr;
  const char* operation_ = "cuda";
  Tensor subject_;

  std::unordered_map<void*, std::pair<size_t, Category>> blocks_;
  std::array<size_t, category_count> taken_{};
  void* workspace_ = nullptr;
  size_t workspace_bytes_ = 0;

  // Pinned host memory. Uploads go through a ring of buffers, so the host waits only if all buffers have copies in
  // flight. Small downloads go through landing_.
  struct Staging {
    void* memory = nullptr;
    cudaEvent_t free = nullptr;
  };
  std::array<Staging, 16> staging_;
  size_t next_staging_ = 0;
  void* landing_ = nullptr;
  // A kernel that reads an invalid id writes bad_id_[1] = id, and bad_id_[0] = 1 (embedding) or 2 (cross_entropy).
  int* bad_id_ = nullptr;

  // Recorded graphs, by owner and key. A null graph means that the work has run once. Its next run will be recorded.
  std::map<std::pair<const void*, uint64_t>, cudaGraphExec_t> recordings_;
  bool records_ = false;

  cublasLtHandle_t blas_ = nullptr;
  void* blas_workspace_ = nullptr;
  std::map<Product, Plan> plans_;
  bool timing_apart_ = false;  // whether time_of() runs an Apart, whose products then use noted choices
  // The algorithms chosen by timing. If null, each plan uses the first answer of cuBLASLt's heuristic.
  std::unique_ptr<cuda::ProductChoices> choices_;
  enum class Timing : uint8_t { none, used, noted } timing_ = Timing::none;
  bool hopper_ = false;  // whether the GPU is a Hopper or later
  bool tf32_ = false;
  std::unique_ptr<cuda::CudnnAttention> cudnn_;  // runs only the shapes given to plan_attention()
};

}  // namespace rowan

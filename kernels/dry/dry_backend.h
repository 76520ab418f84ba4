// A Backend that computes nothing. It counts memory by category, and FLOPs, bytes and exponentials by family of
// operations. The code of the model and of the optimizer runs on it unchanged, and arguments are checked as on other
// backends. Its addresses are invented and never dereferenced. download() returns zeros.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace rowan {

enum class OpFamily : uint8_t {
  transfer,  // upload, download, copy, swap_axes, zero
  elementwise,
  embedding,
  norm,
  product,  // linear layers and matmul
  rope,
  attention,
  activation,
  loss,
  optimizer,
};
constexpr auto names_of(OpFamily) {
  return enum_names("transfer", "elementwise", "embedding", "norm", "product", "rope", "attention", "activation",
                    "loss", "optimizer");
}
inline constexpr int op_family_count = count_of<OpFamily>;

struct Work {
  int64_t calls = 0;
  // FLOPs of matrix products, 2 m n k each, and of eigenvectors and orthonormalize. Other arithmetic is not counted. In
  // attention only unmasked scores count: seq * (seq + 1) / 2 per head of a sequence, as if each row were one document.
  // The backward of attention counts four products. The fifth product, which recomputes the scores, is not counted.
  double flops = 0;
  // The same FLOPs, but with masked attention scores counted too, as in many published MFU figures.
  double flops_full = 0;
  // FLOPs of the product with which the backward of attention recomputes the scores.
  double recomputed = 0;
  // Bytes if each operand is read once and each result is written once. Of the table of token embeddings, at most one
  // row per token is counted.
  double bytes = 0;
  // Exponentials. Attention takes one per unmasked score, in the forward and in the backward. The cross-entropy takes
  // one per logit of the vocabulary. SiLU and GELU take one per value, in the forward and in the backward. Exponentials
  // that are taken once per row are not counted. The optimizers' powers are not counted either.
  double exponentials = 0;
};

// Which rate limits a kernel's speed on a GPU (src/train/step_budget.cpp). epilogue: the kernel takes no time on a
// device that fuses it into the preceding product.
enum class Bound : uint8_t {
  copy,
  optimizer,
  product,
  attention_forward,
  attention_backward,
  plain_attention,
  epilogue
};

// A kernel that a GPU runs for an operation, or the sum of several kernels of the same name.
struct Kernel {
  // The name of the operation, or "bias gradients". For a matrix product, "linear" and the shape of the weight, or
  // "matmul" and the shape of the result, such as "linear [768, 768]".
  std::string name;
  Bound bound = Bound::copy;
  DType dtype = DType::f32;  // for matrix products and bias gradients: dtype of the operands
  double calls = 1;
  // FLOPs that the kernel executes. In attention, they include recomputed scores and, on tensor cores, masked scores of
  // tiles that are not fully masked.
  double flops = 0;
  // As in Work and, in the backward of attention, also what a GPU reads again and its sums, if its cache cannot hold
  // them.
  double bytes = 0;
};

class DryBackend final : public Backend {
 public:
  DryBackend(AttentionKernels attention, int multiprocessors);

  // bytes(category): bytes held now. peak_bytes(category): the largest number of bytes held so far.
  size_t bytes(Category category) const { return current_[static_cast<size_t>(category)]; }
  size_t peak_bytes(Category category) const { return peak_[static_cast<size_t>(category)]; }
  // bytes() and peak_bytes() count all categories together.
  size_t bytes() const { return total_; }
  size_t peak_bytes() const { return total_peak_; }
  const Work& work(OpFamily family) const { return work_[static_cast<size_t>(family)]; }
  // The sum over all families.
  Work work() const;
  // An estimate of the kernels that a GPU would have run since the last reset_work(), in order.
  const std::vector<Kernel>& kernels() const { return kernels_; }
  // Clears the counted work; memory stays counted.
  void reset_work() { work_ = {}, kernels_.clear(); }

  std::string name() const override { return "dry"; }
  std::string describe() const override { return "nothing: counts memory and work"; }
  bool fast(DType) const override { return true; }
  void allow_tf32() override {}
  // Those of the planned GPU, or none for a CPU.
  Limits limits() const override;
  bool host_memory() const override { return false; }

  void* allocate(size_t bytes, Category category) override;
  void release(void* memory) override;
  // Counts the workspace of cuDNN's kernels if they are chosen.
  void plan_attention(const AttentionShape& shape, DType dtype) override;

 private:
  void begin(const char* operation, const Tensor&) override { operation_ = operation; }
#define ROWAN_OPERATION override
#include "kernels/backend_overrides.inc"
  void do_matmul_add(Tensor c, Tensor source, const Operand& a, const Operand& b, float alpha, float beta,
                     Result result) override;
  void do_linear_activation_forward(Activation kind, Tensor out, Tensor pre, Tensor in, Tensor weight,
                                    Tensor bias) override;
  void do_linear_activation_backward(Activation kind, Tensor d_pre, Tensor dout, Tensor weight, Tensor pre) override;

  // Counts an operation's scratch memory. As on a GPU, all operations share one block of the largest size.
  void use_scratch(double bytes);
  // Counts the scratch memory of eigenvectors() or orthonormalize() for matrices [k, k]. For a CPU, counts 2 k^2
  // doubles for the largest matrix. For a GPU, counts `squares` * k^2 + k + `more` doubles for each matrix of the
  // largest batch (eigen_batch()).
  void use_eigen_scratch(const std::vector<Tensor>& matrices, int64_t squares, int64_t more);
  using Tensors = std::initializer_list<Tensor>;
  // Counts one call and one kernel, with the bytes of the tensors that are read and written. A tensor updated in place
  // appears in both lists.
  void count(OpFamily family, Tensors reads, Tensors writes);
  // Adds the bytes of `tensors` to the most recently counted call.
  void touch(OpFamily family, Tensors tensors);
  void count_products(OpFamily family, double full, double causal);
  void count_exponentials(OpFamily family, double number);
  void count_activation(Activation kind, Tensors reads, Tensor to, int64_t values);
  // Counts one matrix product. The name of its kernel is `kind` followed by the shape of `named`.
  void count_product(const char* kind, const Tensor& named, DType dtype, Tensors reads, Tensors writes, double flops);
  // Counts c = a b. `added` is the tensor that the product is added to, or empty.
  void count_matmul(Tensor c, Tensor added, const Operand& a, const Operand& b, Result result);
  void count_attention(Bound bound, const AttentionShape& shape, DType dtype, int products, int executed);

  struct Block {
    size_t bytes;
    Category category;
  };
  AttentionKernels attention_;
  int multiprocessors_;  // of the GPU; 0: a CPU
  std::map<uintptr_t, Block> blocks_;
  uintptr_t next_address_ = uintptr_t{1} << 46;
  std::array<size_t, category_count> current_{}, peak_{};
  size_t total_ = 0, total_peak_ = 0;
  void* scratch_ = nullptr;
  double scratch_bytes_ = 0;
  std::array<Work, op_family_count> work_{};
  std::vector<Kernel> kernels_;
  const char* operation_ = "";
};

// `rowan plan` assumes an H100 or H200. These are the GPU's number of multiprocessors, the bytes of its L2 cache, and
// the bytes of shared memory that CudaBackend leaves for the dynamic arrays of a thread block.
inline constexpr int planned_multiprocessors = 132;
inline constexpr int64_t planned_cache_bytes = int64_t{50} << 20;
inline constexpr int64_t planned_shared_bytes = 226 * 1024;

// If `multiprocessors` is above 0, the backend counts cuBLASLt's workspace and the scratch memory of some operations,
// as the CUDA backend allocates them on a GPU with this number of multiprocessors. If `multiprocessors` is 0, the
// backend counts the CPU's scratch memory of eigenvectors() and orthonormalize(). In both cases, plan_attention()
// counts cuDNN's workspace if `attention` is cudnn.
std::unique_ptr<DryBackend> make_dry_backend(AttentionKernels attention = AttentionKernels::rowan,
                                             int multiprocessors = 0);

}  // namespace rowan

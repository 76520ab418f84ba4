// A Backend that computes nothing and counts everything: memory by category, FLOPs and bytes moved by family of
// operations. Its arguments are checked as the others' are, so the real model, optimizer and plan code run over it.
// Addresses are made up and never touched; download() gives zeros.
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
  transfer,  // upload, download, copy, zero
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
  // Of matrix products: 2mnk each; other arithmetic is not counted. Attention counts what its mask leaves
  // (seq (seq + 1) / 2 scores a head, as if a row were one document) and, in the backward, four products: recomputing
  // the scores is the method's price.
  double flops = 0;
  // The same with every score counted, masked or not: the convention of published MFU figures.
  double flops_full = 0;
  // Bytes that must be read or written when every argument is touched once each way.
  double bytes = 0;
};

// What bounds a kernel on a GPU. epilogue: where the device does it within the product before, nothing.
enum class Bound : uint8_t {
  copy,
  optimizer,
  product,
  attention_forward,
  attention_backward,
  plain_attention,
  epilogue
};

// A kernel that a GPU runs for an operation, or several of one name together.
struct Kernel {
  std::string name;  // the operation's; of products the shape of their weight or result; "bias gradients"
  Bound bound = Bound::copy;
  DType dtype = DType::f32;  // of a product's factors
  double calls = 1;
  double flops = 0;  // as many as are executed: attention's with whole blocks of scores and those computed again
  double bytes = 0;
};

class DryBackend final : public Backend {
 public:
  explicit DryBackend(AttentionKernels attention) : attention_(attention) {}

  // Bytes held now, and the most held at one time.
  size_t bytes(Category category) const { return current_[static_cast<size_t>(category)]; }
  size_t peak_bytes(Category category) const { return peak_[static_cast<size_t>(category)]; }
  // Of all categories together.
  size_t bytes() const { return total_; }
  size_t peak_bytes() const { return total_peak_; }
  const Work& work(OpFamily family) const { return work_[static_cast<size_t>(family)]; }
  // Sum over the families.
  Work work() const;
  // One for each that a GPU would have run, in order.
  const std::vector<Kernel>& kernels() const { return kernels_; }
  // Forgets the work done so far, not the memory.
  void reset_work() { work_ = {}, kernels_.clear(); }

  std::string name() const override { return "dry"; }
  std::string describe() const override { return "nothing: counts memory and work"; }
  bool fast(DType) const override { return true; }
  void allow_tf32() override {}
  bool host_memory() const override { return false; }

  void* allocate(size_t bytes, Category category) override;
  void release(void* memory) override;
  // Counts the workspace of cuDNN's kernels where they are chosen.
  void plan_attention(const AttentionShape& shape, DType dtype) override;

 private:
  void begin(const char* operation, const Tensor&) override { operation_ = operation; }
#define ROWAN_OPERATION override
#include "kernels/backend_overrides.inc"
  void do_matmul_add(Tensor c, Tensor source, const Operand& a, const Operand& b, float alpha, float beta) override;
  void do_linear_activation_forward(Activation kind, Tensor out, Tensor pre, Tensor in, Tensor weight,
                                    Tensor bias) override;
  void do_linear_activation_backward(Activation kind, Tensor d_pre, Tensor dout, Tensor weight, Tensor pre) override;

  using Tensors = std::initializer_list<Tensor>;
  // One call that reads and writes these, and its kernel; a tensor updated in place is in both.
  void count(OpFamily family, Tensors reads, Tensors writes);
  // Further tensors of the call counted last.
  void touch(OpFamily family, Tensors tensors);
  void count_products(OpFamily family, double full, double causal);
  // One call of a product of factors of this dtype; the kernel is called by its kind and the shape of `named`.
  void count_product(const char* kind, const Tensor& named, DType dtype, Tensors reads, Tensors writes, double flops);
  void count_attention(Bound bound, const AttentionShape& shape, DType dtype, int products, int executed);

  struct Block {
    size_t bytes;
    Category category;
  };
  AttentionKernels attention_;
  std::map<uintptr_t, Block> blocks_;
  uintptr_t next_address_ = uintptr_t{1} << 46;
  std::array<size_t, category_count> current_{}, peak_{};
  size_t total_ = 0, total_peak_ = 0;
  std::array<Work, op_family_count> work_{};
  std::vector<Kernel> kernels_;
  const char* operation_ = "";
};

std::unique_ptr<DryBackend> make_dry_backend(AttentionKernels attention = AttentionKernels::rowan);

}  // namespace rowan

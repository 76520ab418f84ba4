// A Backend that computes nothing and counts everything: memory by category, FLOPs and bytes by family of operations.
// It checks arguments like any other, so the real model, optimizer and plan code run on it. Addresses are invented and
// never dereferenced; download() returns zeros.
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
  // FLOPs of matrix products, 2 m n k each; other arithmetic is not counted. Attention counts unmasked scores only,
  // seq (seq + 1) / 2 per head, with each row as one document. Its backward counts four products. Recomputing the
  // scores is overhead of the implementation and is left out.
  double flops = 0;
  // FLOPs with masked attention scores counted too: the convention of published MFU figures.
  double flops_full = 0;
  // Bytes if every argument is read or written exactly once.
  double bytes = 0;
};

// What limits a kernel on a GPU. epilogue: free on a device that fuses it into the preceding product.
enum class Bound : uint8_t {
  copy,
  optimizer,
  product,
  attention_forward,
  attention_backward,
  plain_attention,
  epilogue
};

// A kernel that a GPU runs for an operation, or several of the same name.
struct Kernel {
  std::string name;  // the operation's name; a product's weight or result shape; "bias gradients"
  Bound bound = Bound::copy;
  DType dtype = DType::f32;  // a product's operand dtype
  double calls = 1;
  double flops = 0;  // executed FLOPs: whole blocks of scores, recomputed ones included
  double bytes = 0;
};

class DryBackend final : public Backend {
 public:
  explicit DryBackend(AttentionKernels attention) : attention_(attention) {}

  // Bytes held now, and the most held at one time.
  size_t bytes(Category category) const { return current_[static_cast<size_t>(category)]; }
  size_t peak_bytes(Category category) const { return peak_[static_cast<size_t>(category)]; }
  // Bytes held now and the most held at one time, over all categories.
  size_t bytes() const { return total_; }
  size_t peak_bytes() const { return total_peak_; }
  const Work& work(OpFamily family) const { return work_[static_cast<size_t>(family)]; }
  // The sum over all families.
  Work work() const;
  // The kernels that a GPU would have run, in order.
  const std::vector<Kernel>& kernels() const { return kernels_; }
  // Clears the counted work; memory stays counted.
  void reset_work() { work_ = {}, kernels_.clear(); }

  std::string name() const override { return "dry"; }
  std::string describe() const override { return "nothing: counts memory and work"; }
  bool fast(DType) const override { return true; }
  void allow_tf32() override {}
  bool host_memory() const override { return false; }

  void* allocate(size_t bytes, Category category) override;
  void release(void* memory) override;
  // Counts the workspace of cuDNN's kernels if they are chosen.
  void plan_attention(const AttentionShape& shape, DType dtype) override;

 private:
  void begin(const char* operation, const Tensor&) override { operation_ = operation; }
#define ROWAN_OPERATION override
#include "kernels/backend_overrides.inc"
  void do_matmul_add(Tensor c, Tensor source, const Operand& a, const Operand& b, float alpha, float beta) override;
  void do_linear_activation_forward(Activation kind, Tensor out, Tensor pre, Tensor in, Tensor weight,
                                    Tensor bias) override;
  void do_linear_activation_backward(Activation kind, Tensor d_pre, Tensor dout, Tensor weight, Tensor pre) override;

  // Asks for scratch memory of an operation. As on the devices, one block, as large as the largest request, serves all.
  void use_scratch(double bytes);
  using Tensors = std::initializer_list<Tensor>;
  // Counts one call and its kernel by the tensors it reads and writes. A tensor updated in place appears in both.
  void count(OpFamily family, Tensors reads, Tensors writes);
  // Adds tensors to the call counted last.
  void touch(OpFamily family, Tensors tensors);
  void count_products(OpFamily family, double full, double causal);
  // Counts one matrix product. Its kernel is named by `kind` and the shape of `named`.
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
  void* scratch_ = nullptr;
  double scratch_bytes_ = 0;
  std::array<Work, op_family_count> work_{};
  std::vector<Kernel> kernels_;
  const char* operation_ = "";
};

std::unique_ptr<DryBackend> make_dry_backend(AttentionKernels attention = AttentionKernels::rowan);

}  // namespace rowan

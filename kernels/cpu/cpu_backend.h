// The CPU backend: the specification of every operation (kernels/backend.h). One file per family of operations.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/products.h"
#include "kernels/cpu/scratch.h"

namespace rowan {

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(int threads);
  ~CpuBackend() override;

  std::string name() const override { return "cpu"; }
  std::string describe() const override;
  bool fast(DType dtype) const override;
  bool host_memory() const override { return true; }

  void* allocate(size_t bytes, Category category) override;
  void release(void* memory) override;
  void upload(Tensor to, const void* host) override;
  void download(void* host, Tensor from) override;
  void copy(Tensor to, Tensor from) override;
  void zero(Tensor x) override;
  void synchronize() override {}

  void scale(Tensor x, float factor) override;
  void add(Tensor y, Tensor x) override;
  void clamp_forward(Tensor x, int64_t begin, int64_t end, float limit) override;
  void clamp_backward(Tensor dx, Tensor x, int64_t begin, int64_t end, float limit) override;
  void sum(Tensor out, Tensor x, bool accumulate) override;
  void sum_squares(Tensor out, const std::vector<Tensor>& xs) override;

  void embedding_forward(Tensor out, Tensor tokens, Tensor table, Tensor positions, int64_t seq) override;
  void embedding_backward(Tensor d_table, Tensor d_positions, Tensor dout, Tensor tokens, int64_t seq) override;

  void norm_forward(Norm kind, Tensor out, Tensor sum, Tensor mean, Tensor rstd, Tensor residual, Tensor branch,
                    Tensor weight, Tensor bias, float eps) override;
  void norm_backward(Norm kind, Tensor d_residual, Tensor d_weight, Tensor d_bias, Tensor dout, Tensor r, Tensor weight,
                     Tensor mean, Tensor rstd, bool accumulate) override;

  void linear_forward(Tensor out, Tensor in, Tensor weight, Tensor bias) override;
  void linear_backward_input(Tensor din, Tensor dout, Tensor weight, bool accumulate) override;
  void linear_backward_weight(Tensor d_weight, Tensor d_bias, Tensor dout, Tensor in) override;
  void matmul(Tensor c, Tensor a, bool transpose_a, Tensor b, bool transpose_b, float alpha, float beta) override;

  void rope(Tensor qkv, Tensor table, const AttentionShape& shape, bool inverse) override;
  void attention_forward(Tensor out, Tensor log_sum_exp, Tensor qkv, const AttentionShape& shape) override;
  void attention_backward(Tensor dqkv, Tensor dout, Tensor out, Tensor log_sum_exp, Tensor qkv,
                          const AttentionShape& shape) override;

  void swiglu_forward(Tensor out, Tensor gate_up) override;
  void swiglu_backward(Tensor d_gate_up, Tensor dout, Tensor gate_up) override;
  void gelu_forward(Gelu kind, Tensor out, Tensor in) override;
  void gelu_backward(Gelu kind, Tensor din, Tensor dout, Tensor in) override;

  void cross_entropy(Tensor losses, Tensor logits, Tensor targets, int64_t vocabulary, float grad_scale,
                     bool gradient) override;

  void adamw(const std::vector<OptimizerSlot>& slots, const AdamWRule& rule) override;
  void normalized_step(const std::vector<OptimizerSlot>& slots, const NormalizedStepRule& rule) override;
  void momentum(Tensor update, const std::vector<OptimizerSlot>& slots, const MomentumRule& rule) override;
  void project(Tensor update, const std::vector<OptimizerSlot>& slots, const ProjectRule& rule) override;
  void normalize(Tensor update, const NormalizeRule& rule) override;
  void sign(Tensor update) override;
  void sums_of_squares(Tensor out, const std::vector<Tensor>& matrices, Along along, float scale) override;
  void adaptive_factors(Tensor factors, const std::vector<OptimizerSlot>& slots, Tensor update_sums,
                        Tensor gradient_sums, const AdaptRule& rule) override;
  void second_moment(Tensor update, const std::vector<OptimizerSlot>& slots, float beta, float eps) override;
  void apply(Tensor update, const std::vector<OptimizerSlot>& slots, Tensor factors, const ApplyRule& rule) override;

 private:
  struct Block {
    void* base;     // what the system gave
    size_t length;  // of a mapping; 0 for memory of aligned_alloc
  };

  int threads_;
  Products products_;
  std::unordered_map<void*, Block> blocks_;
  cpu::Scratch scratch_;
};

}  // namespace rowan

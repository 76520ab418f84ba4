// Model: the transformer's forward and backward for one micro-batch on one Backend. Pre-norm blocks
//   x = x + attention(norm(x));  x = x + mlp(norm(x))
// between an embedding and a final norm and head. Gradients accumulate over calls until zero_gradients().
#pragma once

#include "kernels/arena.h"
#include "model/layout.h"

namespace rowan {

enum class Recompute : uint8_t {
  none,   // every activation is kept
  mlp,    // the wide activations of the MLP are computed again in the backward
  block,  // only each block's input is kept
};
constexpr auto names_of(Recompute) { return enum_names("none", "mlp", "block"); }

struct ModelOptions {
  int64_t batch = 1, seq = 1;  // the micro-batch
  DType compute = DType::f32;  // weights and activations
  DType gradient = DType::f32;
  Recompute recompute = Recompute::none;
  bool training = true;  // false: no gradients, activations of one block only
  bool growing = false;  // without training and batch 1: keeps every layer's q, k, v, for forward_next()
  // Layers whose weights, or gradients, have memory at a time; 0: all. An observer brings them in and out.
  int resident_weights = 0, resident_gradients = 0;
};

// Told as the passes reach each block (Parameter::block), so that weights can be brought in and gradients sent away.
class BlockObserver {
 public:
  virtual ~BlockObserver() = default;
  virtual void before_forward(int /*block*/) {}
  virtual void after_forward(int /*block*/) {}
  virtual void before_backward(int /*block*/) {}
  // The gradients of the block are complete for this micro-batch.
  virtual void after_backward(int /*block*/) {}
};

// Logits are made in pieces of this many rows: whole, they would be by far the largest tensor of a step.
int64_t logit_chunk_rows(const ModelConfig& config, int64_t tokens, DType dtype);

class Model {
 public:
  // Throws Error when the sequence is longer than the position table, or the backend's limits are exceeded.
  Model(Backend& backend, const ModelConfig& config, const ModelOptions& options);
  ~Model();

  const ModelConfig& config() const { return config_; }
  const ModelOptions& options() const { return options_; }
  const ParameterTable& parameters() const { return table_; }
  // Flat buffers, in which the placements find parameters and blocks.
  Tensor weights() const { return weights_; }
  Tensor gradients() const { return gradients_; }
  const Placement& weight_placement() const { return weight_placement_; }
  const Placement& gradient_placement() const { return gradient_placement_; }
  // In its own shape.
  Tensor weight(const Parameter& parameter) const { return weight_placement_.in(weights_, parameter); }
  Tensor gradient(const Parameter& parameter) const { return gradient_placement_.in(gradients_, parameter); }

  // Sets a whole parameter from f32 host values, rounding to the compute dtype; reads it back as f32.
  void set(const Parameter& parameter, const float* values);
  void get(const Parameter& parameter, float* values) const;
  // initial_values() of every parameter.
  void initialize(uint64_t seed);

  void observe(BlockObserver* observer) { observer_ = observer; }
  void zero_gradients();

  // Forward and loss. tokens and targets: i32 device tensors of batch * seq. Returns f32[batch * seq] losses in nats,
  // 0 where the target is -100.
  Tensor loss(Tensor tokens, Tensor targets);
  // The same, then the backward of grad_scale * (sum of losses), added to the gradients.
  Tensor loss_and_gradients(Tensor tokens, Tensor targets, float grad_scale);
  // The forward alone, up to the final norm.
  void forward(Tensor tokens);
  // The forward of tokens i32[count] at positions [begin, begin + count) of a growing sequence, of which the positions
  // before have been through this or forward(). Weights multiply the new rows only; attention is done again for all.
  void forward_next(Tensor tokens, int64_t begin);
  // Logits [vocabulary] behind one row of the micro-batch that has been through forward().
  std::vector<float> logits(int64_t row);

 private:
  struct Block;

  // The positions that a pass goes through.
  struct Span {
    int64_t batch, begin, count;
  };
  Span whole() const { return {options_.batch, 0, options_.seq}; }

  void bind();
  void take_activations();
  void forward(Tensor tokens, const Span& span);
  void forward_attention(const Block& block, int64_t layer, const Span& span);
  void forward_mlp(const Block& block);
  Tensor head_loss(Tensor targets, float grad_scale, bool gradient);
  void backward(Tensor tokens);
  void backward_mlp(int64_t layer);
  void backward_attention(int64_t layer);
  void activation_forward(const Block& block);
  // The model's norm: kind and eps are the config's.
  void norm(NormForward norm);
  int last_block() const { return static_cast<int>(config_.layers) + 1; }

  Backend& backend_;
  ModelConfig config_;
  ModelOptions options_;
  ParameterTable table_;
  Placement weight_placement_, gradient_placement_;
  Arena weight_memory_, gradient_memory_, activation_memory_, workspace_;
  Tensor weights_, gradients_;
  std::vector<Block> blocks_;
  BlockObserver none_;
  BlockObserver* observer_ = &none_;

  Tensor rope_table_;
  Tensor branch_;                                                  // [N, C]
  Tensor final_sum_, final_out_, final_mean_, final_rstd_;         // [N, C], f32[N]
  Tensor logits_, losses_;                                         // [rows, logit_width], f32[N]
  Tensor d_residual_, d_normed_, d_attention_, d_wide_, d_inner_;  // gradients of activations
  struct Ends {
    Tensor tokens, positions, norm, norm_bias, head;
  } weight_, d_;
};

}  // namespace rowan

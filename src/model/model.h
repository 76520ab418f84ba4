// Model: the transformer's forward and backward for one micro-batch on one Backend. Pre-norm blocks
//   x = x + attention(norm(x));  x = x + mlp(norm(x))
// between an embedding (normalized, where the model says so) and a final norm and head. Gradients accumulate over calls
// until zero_gradients().
#pragma once

#include <optional>

#include "kernels/arena.h"
#include "model/layout.h"

namespace rowan {

enum class Recompute : uint8_t {
  none,   // every activation is kept
  mlp,    // the wide activations of the MLP are computed again in the backward
  block,  // only each block's input is kept
};
constexpr auto names_of(Recompute) { return enum_names("none", "mlp", "block"); }

// Attention that stays within documents, and positions that count from the beginning of each.
struct DocumentOptions {
  DocumentRule rule;
  bool restart = true;  // false: positions count through the row
};

struct ModelOptions {
  int64_t batch = 1, seq = 1;  // the micro-batch
  DType compute = DType::f32;  // weights and activations
  DType gradient = DType::f32;
  bool fp32_residual = false;  // the residual stream, of which norms are taken, in f32 whatever the weights are in
  Recompute recompute = Recompute::none;
  bool training = true;  // false: no gradients, activations of one block only
  bool growing = false;  // without training and batch 1: keeps every layer's q, k, v, for forward_next()
  std::optional<DocumentOptions> documents = {};  // none: a row is one document
  uint64_t dropout_seed = 0;
  double z_loss = 0;  // the gradient is that of loss + z_loss * log(sum of exponentials)^2
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

  // i32[batch, 2], to be written before loss_and_gradients() where the model has dropout: low and high words of the
  // numbers, below 2^40, of the samples in the micro-batch, of which their masks are a function.
  Tensor samples() const { return samples_; }

  // Forward and loss. tokens and targets: i32 device tensors of batch * seq. Returns f32[batch * seq] losses in nats,
  // 0 where the target is -100.
  Tensor loss(Tensor tokens, Tensor targets);
  // The same with dropout, then the backward of grad_scale * (sum of losses), added to the gradients.
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

  // A norm: its parameters and their gradients, what it reads and gives, and what it keeps for the backward.
  struct NormLayer {
    Tensor weight, bias, d_weight, d_bias;  // [C]
    Tensor in, out, mean, rstd;             // [N, C], f32[N]

    NormLayer rows(int64_t begin, int64_t count) const {
      NormLayer part = *this;
      for (Tensor* x : {&part.in, &part.out, &part.mean, &part.rstd})
        if (!x->empty()) *x = x->slice(begin, count);
      return part;
    }
  };

  // The positions that a pass goes through.
  struct Span {
    int64_t batch, begin, count;
  };
  Span whole() const { return {options_.batch, 0, options_.seq}; }

  void bind();
  void take_activations();

  // norm.in to norm.out, where there is a branch after it has become residual + branch.
  void forward_norm(const NormLayer& norm, Tensor residual = Tensor(), Tensor branch = Tensor());
  void backward_norm(const NormLayer& norm, Tensor d_in, Tensor dout, bool accumulate);
  Tensor documents(const Span& span) const;
  void find_documents(Tensor tokens, const Span& span);
  bool positions_restart() const { return !config_.rope && options_.documents && options_.documents->restart; }
  Dropout dropout(double rate, int64_t layer, int64_t place) const;
  void drop(Tensor x, double rate, int64_t layer, int64_t place);

  void forward(Tensor tokens, const Span& span);
  void forward_embedding(Tensor tokens, const Span& span);
  void forward_attention(const Block& block, int64_t layer, const Span& span);
  void forward_qkv(const Block& block, const AttentionShape& shape, int64_t begin);
  void forward_mlp(const Block& block, int64_t layer);
  void forward_activation(const Block& block);
  Tensor head_loss(Tensor targets, float grad_scale, bool gradient);
  void backward(Tensor tokens);
  Tensor branch_gradient(int64_t layer, int64_t place);
  void backward_mlp(int64_t layer);
  void backward_attention(int64_t layer);
  void backward_qkv(const Block& block, Tensor d_qkv, const AttentionShape& shape);
  void backward_embedding(Tensor tokens);
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
  Tensor documents_, document_tokens_;  // flat i32[3 N]; of a growing sequence, i32[N]
  Tensor samples_;
  bool dropping_ = false;            // in the pass that runs
  NormLayer embedding_norm_, norm_;  // after the embedding, where there is one, and the final one
  Tensor branch_;                    // [N, C]
  Tensor logits_, losses_;           // [rows, logit_width], f32[N]
  Tensor d_residual_, d_normed_, d_embedded_, d_attention_, d_wide_, d_inner_;  // gradients of activations
  struct Ends {
    Tensor tokens, positions, head, head_bias;
  } weight_, d_;
};

}  // namespace rowan

// Model: the transformer's forward and backward passes for one micro-batch on one Backend. First comes an embedding,
// optionally with a norm; then pre-norm blocks
//   x = x + attention(norm(x));  x = x + mlp(norm(x))
// and at the end a norm and a head. A backward pass replaces the gradients or adds to them.
#pragma once

#include <optional>

#include "kernels/arena.h"
#include "model/layout.h"

namespace rowan {

enum class Recompute : uint8_t {
  none,   // keep all activations
  mlp,    // recompute the activations inside the MLP in the backward pass
  block,  // keep only each block's input, and recompute the other activations
};
constexpr auto names_of(Recompute) { return enum_names("none", "mlp", "block"); }

// With ModelOptions::documents, a token attends only to tokens of its own document.
struct DocumentOptions {
  DocumentRule rule;
  bool restart = true;  // whether learned positions count from the document's start; false: from the sequence's start
};

struct ModelOptions {
  int64_t batch = 1, seq = 1;  // number of sequences in the micro-batch, and their length in tokens
  DType compute = DType::f32;  // dtype of weights and activations
  DType gradient = DType::f32;
  bool fp32_residual = false;  // keep the residual stream in fp32, even if weights are bf16
  Recompute recompute = Recompute::none;
  bool training = true;  // false: no gradients, and blocks share the memory of activations
  bool growing = false;  // for generation (no training, batch 1): keep q, k, v of all layers for forward_next()
  std::optional<DocumentOptions> documents = {};  // none: attention spans the sequence
  uint64_t dropout_seed = 0;
  double z_loss = 0;  // the gradient is that of loss + z_loss * log(sum of e^logits)^2
  // The number of layers whose weights (resident_weights) or gradients (resident_gradients) are in memory at the same
  // time; 0: all layers. Otherwise, a BlockObserver must fetch the weights or send the gradients during a pass.
  int resident_weights = 0, resident_gradients = 0;
};

// Called when a pass enters or leaves a block (Parameter::block), so that weights can be fetched and gradients sent.
class BlockObserver {
 public:
  virtual ~BlockObserver() = default;
  virtual void before_forward(int /*block*/) {}
  virtual void after_forward(int /*block*/) {}
  virtual void before_backward(int /*block*/) {}
  // The gradients of the block are complete for this micro-batch.
  virtual void after_backward(int /*block*/) {}
};

// Logits are computed in chunks of this many rows, because all rows together can be the largest tensor of a step.
int64_t logit_chunk_rows(const ModelConfig& config, int64_t tokens, DType dtype);

class Model {
 public:
  // Throws Error if the sequence is longer than the model's positions, if the backend's limits are exceeded, or if
  // `growing` is combined with training or a batch above 1.
  Model(Backend& backend, const ModelConfig& config, const ModelOptions& options);
  ~Model();

  const ModelConfig& config() const { return config_; }
  const ModelOptions& options() const { return options_; }
  const ParameterTable& parameters() const { return table_; }
  // Flat buffers of all weights and of all gradients. The placements locate parameters and blocks in these buffers.
  Tensor weights() const { return weights_; }
  Tensor gradients() const { return gradients_; }
  const Placement& weight_placement() const { return weight_placement_; }
  const Placement& gradient_placement() const { return gradient_placement_; }
  // Views of a parameter's weight and gradient, in the parameter's own shape.
  Tensor weight(const Parameter& parameter) const { return weight_placement_.in(weights_, parameter); }
  Tensor gradient(const Parameter& parameter) const { return gradient_placement_.in(gradients_, parameter); }

  // set() writes a whole parameter from fp32 host values, rounded to the compute dtype. get() reads a parameter as
  // fp32.
  void set(const Parameter& parameter, const float* values);
  void get(const Parameter& parameter, float* values) const;
  // Sets every parameter to its initial_values() (model/initialization.h).
  void initialize(uint64_t seed);

  void observe(BlockObserver* observer) { observer_ = observer; }

  // i32[batch, 2]: low and high 32-bit word of each sequence's sample index, which must be below 2^40. The index
  // determines the sequence's dropout masks. If the model has dropout, write this tensor before loss_and_gradients().
  Tensor samples() const { return samples_; }

  // Runs the forward pass and computes the losses. `tokens` and `targets` are device tensors i32[batch * seq]. Returns
  // losses fp32[batch * seq] in nats, 0 where the target is -100.
  Tensor loss(Tensor tokens, Tensor targets);
  // Runs the forward pass with dropout, then the backward pass of grad_scale * (sum of losses). If `accumulate`, the
  // pass adds to the gradients; otherwise it replaces them. If resident_gradients is not 0, layers share the memory of
  // their gradients, so the gradients of layers are replaced even if `accumulate`. Returns the losses. Throws Error in
  // a model without `training`.
  Tensor loss_and_gradients(Tensor tokens, Tensor targets, float grad_scale, bool accumulate);
  // Runs the forward pass up to and including the final norm.
  void forward(Tensor tokens);
  // Runs the forward pass for tokens i32[count] at positions [begin, begin + count) of a growing sequence. All earlier
  // positions must have passed through this function or forward(). Only the new tokens are multiplied by weights, but
  // attention is recomputed for all tokens. Throws Error if a position is outside [0, seq), or if the model was
  // made without `growing`.
  void forward_next(Tensor tokens, int64_t begin);
  // Logits [vocabulary] of token `row` of the micro-batch's batch * seq tokens, after forward() or forward_next().
  std::vector<float> logits(int64_t row);

 private:
  struct Block;

  // The tensors of a norm over activations [N, C] of N tokens: parameters and their gradients, input and output, and
  // the statistics that the backward pass needs.
  struct NormLayer {
    Tensor weight, bias, d_weight, d_bias;  // [C]
    Tensor in, out, mean, rstd;             // in and out [N, C]; mean and rstd fp32[N]

    NormLayer rows(int64_t begin, int64_t count) const {
      NormLayer part = *this;
      for (Tensor* x : {&part.in, &part.out, &part.mean, &part.rstd})
        if (!x->empty()) *x = x->slice(begin, count);
      return part;
    }
  };

  struct Linear {
    Tensor weight, bias, d_weight, d_bias;
  };

  // The part of the micro-batch that a pass covers: positions [begin, begin + count) of `batch` sequences.
  struct Span {
    int64_t batch, begin, count;
  };
  Span whole() const { return {options_.batch, 0, options_.seq}; }

  void bind();
  void take_activations();

  // Computes norm.out from norm.in. If `branch` is given, norm.in first becomes residual + branch.
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
  void begin_backward(int block);
  Tensor branch_gradient(int64_t layer, int64_t place);
  void backward_weight(const Linear& linear, Tensor dout, Tensor in);
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
  // For each block, the gradients that must start at 0, because operations add to them.
  std::vector<std::vector<Tensor>> sums_;
  BlockObserver none_;
  BlockObserver* observer_ = &none_;

  Tensor rope_table_;
  // documents_: flat i32[3 N], see documents(). document_tokens_: i32[N], the tokens of a growing sequence.
  Tensor documents_, document_tokens_;
  Tensor samples_;
  bool dropping_ = false;  // whether the current pass applies dropout
  // accumulate_: whether the current pass adds to the gradients outside layers. accumulate_layers_: whether it adds to
  // the gradients of layers.
  bool accumulate_ = false, accumulate_layers_ = false;
  NormLayer embedding_norm_, norm_;  // embedding_norm_: the norm after the embedding, if any; norm_: the final norm
  Tensor branch_;                    // [N, C]: output of attention or MLP, before it is added to the residual stream
  Tensor logits_, losses_;           // logits_: one chunk [rows, logit_width]; losses_: fp32[N]
  Tensor d_residual_, d_normed_, d_embedded_, d_attention_, d_wide_, d_inner_;  // gradients of activations
  struct Ends {
    Tensor tokens, positions, head, head_bias;
  } weight_, d_;
};

}  // namespace rowan

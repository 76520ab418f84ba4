// Sharding: which part of the weights, gradients and optimizer state this rank holds, and the messages that keep the
// ranks consistent. It observes the model's passes, so it can send a block's gradients right after the block's backward
// pass, and wait for a block's weights right before its forward pass.
//
//   none       every rank holds and updates everything; gradients are all-reduced
//   optimizer  only owners hold state and master weights (ZeRO 1)
//   gradients  as `optimizer`, and only owners keep gradients of layers (ZeRO 2); the model has gradient buffers for
//              two layers, and gradients of layers are reduced in every micro-step
//   weights    as `gradients`, and only owners keep weights of layers (ZeRO 3); the weights of a layer are gathered
//              before a pass through it, unless the model still holds them
//
// The stages are those of Rajbhandari et al., "ZeRO: memory optimizations toward training trillion parameter models"
// (2020). In all modes every rank holds the weights of the embeddings, final norm and head whole.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/arena.h"
#include "model/model.h"
#include "optim/share.h"
#include "sharding/ownership.h"

namespace rowan {

class Communicator;

enum class ShardMode : uint8_t { none, optimizer, gradients, weights };
constexpr auto names_of(ShardMode) { return enum_names("none", "optimizer", "gradients", "weights"); }
// Sets options.resident_gradients if `shard` shards gradients of layers, and options.resident_weights if it shards
// weights of layers. Does nothing for one rank.
void apply_shard(ShardMode shard, int ranks, ModelOptions& options);

// Sums over ranks for one step, computed with one message.
struct StepTotals {
  double loss = 0;              // sum of the losses of all targets, in nats
  double gradient_squares = 0;  // sum of squares of all gradients; not finite if any gradient is not finite
  std::vector<double> more;     // sums of the values that the caller passed as `more`
  ParameterSums of_parameters;  // for the parameters of this rank: Optimizer::sums(), added over all ranks
};

class Sharding : public BlockObserver {
 public:
  // `costs` has one entry per parameter. `masters`: keep fp32 copies of weights that are not fp32. `reduce`: the dtype,
  // fp32 or bf16, in which gradients are communicated; each rank rounds its own gradients to this dtype before sending
  // them. apply_shard() must have set the model's options. The constructor makes this object the model's observer.
  Sharding(Communicator& communicator, Backend& backend, Model& model, const std::vector<UpdateCost>& costs,
           ShardMode shard, DType reduce, bool masters);

  // Waits for pending messages, because they read and write this object's memory. During an exception, the destructor
  // does not wait.
  ~Sharding() override;

  // The parts that this rank updates. The constructor allocates their masters, if any, but does not fill them.
  const std::vector<Share>& shares() const { return shares_; }
  // Whether this rank's shares are included in sums over ranks. With `none` all ranks hold the same shares, so only
  // rank 0's are included.
  bool shares_count() const;
  // Null if the mode is `none` or there is one rank.
  const Ownership* ownership() const { return ownership_.get(); }

  // Sets the weights and fp32 masters of every share to their initial values, then calls weights_written().
  void initialize(uint64_t seed);
  // Call this function after the optimizer has written the weights. Starts to send the shares' weights to all ranks.
  // Weights of sharded layers are sent later, when a pass needs them. With `none`, nothing is sent.
  void weights_changed();
  // Like weights_changed(), but sends nothing before the next forward pass or check_weights(). So a rank can write
  // weights while another rank fails to, for example because it cannot read a checkpoint.
  void weights_written() { written_ = true; }
  // Waits until no weights are being sent. The shares' weights can then be written.
  void settle_weights();

  // Compares checksums of the weights that every rank holds. If they differ, throws AgreedError naming a rank and a
  // parameter.
  void check_weights();

  // Zeroes the gradients of the shares in sharded layers. The model's first micro-step replaces all other gradients.
  void begin_step();
  // With several ranks, gradients of sharded layers are sent during the backward pass of every micro-step. Other
  // gradients are sent only in the last micro-step.
  void begin_micro_step(bool last) { last_micro_step_ = last; }
  // Completes the gradients of the shares, which are then summed over all ranks and micro-steps.
  void finish_gradients();
  // Ends a step between two micro-steps and waits until no gradients are being sent. Do not use the gradients
  // afterwards.
  void abandon_step() { accumulate_all_reduced(); }
  // Adds up over all ranks: `loss` (fp32[1] on the device), the squares of all shares' gradients, `more` and `sums`.
  // The sums are bitwise equal on all ranks. `sums` is Optimizer::sums() of this rank. It is empty on all ranks or on
  // none.
  StepTotals sum_over_ranks(Tensor loss, const std::vector<double>& more, ParameterSums sums = {});
  // The 2-norm of all weights, computed from masters where they exist. All ranks must call this function.
  double weight_norm();

  void before_forward(int block) override;
  void before_backward(int block) override;
  void after_backward(int block) override;

 private:
  struct Block;

  bool is_sharded(int block, ShardMode from) const {
    return shard_ >= from && model_.weight_placement().is_layer(block);
  }
  void add_share(const Parameter& parameter, const OwnedPiece& piece);
  Tensor gradients_of(int block) const { return model_.gradient_placement().block(model_.gradients(), block); }
  Tensor sent_of(int block) const { return model_.gradient_placement().block(sent_, block); }
  bool converts() const { return sent_.dtype != model_.gradients().dtype; }
  void accumulate_reduced(int block);
  void accumulate_all_reduced();
  void gather_weights(int block);

  Communicator& communicator_;
  Backend& backend_;
  Model& model_;
  ShardMode shard_;
  bool with_masters_;
  std::unique_ptr<Ownership> ownership_;
  Arena masters_, owned_gradients_, owned_weights_, sent_memory_, workspace_;
  Tensor sent_;  // the model's gradients, or their copy in the dtype in which they are communicated
  std::vector<Share> shares_;
  std::vector<Block> blocks_;
  // One entry for each Placement::slot(), a layer-sized part of the model's weight or gradient buffer. weight_slots_:
  // the layer whose weights the part holds or receives. gradient_slots_: the layer whose gradients in the part are not
  // yet added to the shares. 0 stands for no layer.
  std::vector<int> weight_slots_, gradient_slots_;
  Tensor totals_;  // fp32[2] on the device: loss, sum of squares
  bool last_micro_step_ = true;
  bool written_ = false;  // weights_written() was called, and nothing has been sent since
};

}  // namespace rowan

// Writes the trainer's state to checkpoints and restores it. Every tensor is stored whole and by name.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "base/mapped_guard.h"
#include "comm/agreement.h"
#include "comm/communicator.h"
#include "kernels/backend.h"
#include "kernels/floats.h"
#include "model/weights.h"
#include "run/tokenizer_match.h"
#include "sharding/gather_tensors.h"
#include "train/trainer.h"

namespace rowan {
namespace {

constexpr int state_version = 1;

std::vector<int64_t> shape_of(const StateTensor& state) {
  return state.count ? state.parameter->shape : std::vector<int64_t>{state.whole};
}

std::vector<TensorSource> sources(Backend& backend, const std::vector<WholeTensor>& tensors,
                                  std::vector<std::byte>& buffer) {
  std::vector<TensorSource> result;
  for (const WholeTensor& tensor : tensors) {
    TensorSource source{{tensor.name, safetensors_dtype(tensor.dtype), tensor.shape}, {}};
    source.data = [&backend, &buffer, &tensor]() -> const void* {
      if (tensor.tensor.empty()) return tensor.bytes.data();
      if (backend.host_memory()) return tensor.tensor.data;
      buffer.resize(tensor.tensor.bytes());
      backend.download(buffer.data(), tensor.tensor);
      return buffer.data();
    };
    result.push_back(std::move(source));
  }
  return result;
}

}  // namespace

// Returns why the state is ruined, or "". If the state is sound, updates largest_loss_ and largest_norm_.
// The norm of the weights is checked too, because a model with normalization layers may have huge weights although its
// loss is normal.
std::string Trainer::ruin() {
  constexpr double most_loss = 1.5, most_norm = 100;  // multiples of the largest earlier value
  constexpr double most_weight = 1000;  // root mean square of the weights; applies to the first checkpoint too
  const double norm = std::abs(sharding_.weight_norm());  // a NaN may have a sign
  if (!(last_loss_ <= most_loss * largest_loss_))
    return fmt::format("the loss is {:.4g}, expected at most {:.4g}, {} times the largest so far", last_loss_,
                       most_loss * largest_loss_, most_loss);
  if (largest_norm_ > 0 && !(norm <= most_norm * largest_norm_))
    return fmt::format("the norm of the weights is {:.4g}, expected at most {:.4g}, {} times the largest so far", norm,
                       most_norm * largest_norm_, most_norm);
  const double typical = norm / std::sqrt(static_cast<double>(model_.parameters().count()));
  if (!(typical <= most_weight))
    return fmt::format("the root mean square of the weights is {:.4g}, expected at most {}", typical, most_weight);
  largest_loss_ = std::max(largest_loss_, last_loss_);
  largest_norm_ = std::max(largest_norm_, norm);
  return "";
}

std::string Trainer::save(const Json& more, const Rotation& rotation, const std::function<void()>& before_commit) {
  const std::string ruined = ruin();
  std::vector<TensorPart> model, state;
  for (const Share& share : sharding_.shares())
    model.push_back({share.parameter->name, share.parameter->shape, share.begin, share.value()});
  for (const StateTensor& s : optimizer_.state()) state.push_back({s.name, shape_of(s), s.begin, s.tensor});
  std::vector<WholeTensor> whole_model = gather_tensors(communicator_, backend_, model);
  std::vector<WholeTensor> whole_state = gather_tensors(communicator_, backend_, state);
  std::map<std::string, std::vector<WholeTensor>> whole_averages;
  Json counts = Json::object(), first_steps = Json::object();
  for (const Averages::Average& average : averages_.all()) {
    if (average.count == 0) continue;
    std::vector<TensorPart> parts = model;
    for (size_t i = 0; i < parts.size(); ++i) parts[i].part = average.values[i];
    whole_averages[average.name] = gather_tensors(communicator_, backend_, parts);
    counts[average.name] = average.count;
    first_steps[average.name] = average.first;
  }
  std::vector<std::byte> buffer;

  const std::filesystem::path folder = std::filesystem::path(config_.run.dir) / "checkpoints";
  const int rank = communicator_.rank();
  std::unique_ptr<CheckpointWriter> writer;
  auto open = [&] {
    writer = std::make_unique<CheckpointWriter>(folder, steps_done_, rank, communicator_.size(),
                                                ruined.empty() ? Condition::sound : Condition::ruined);
  };
  run_on_all_ranks(communicator_, [&] {
    if (rank == 0) open();
  });
  run_on_all_ranks(communicator_, [&] {
    if (rank != 0) open();
    std::map<std::string, std::vector<TensorSource>> averages;
    for (const auto& [name, tensors] : whole_averages) averages[name] = sources(backend_, tensors, buffer);
    writer->write(sources(backend_, whole_model, buffer), sources(backend_, whole_state, buffer), averages);
  });
  run_on_all_ranks(communicator_, [&] {
    if (rank != 0) return;
    Json state = {{"version", state_version},
                  {"step", steps_done_},
                  {"updates", optimizer_.updates()},
                  {"samples", steps_done_ * config_.batch.sequences},
                  {"tokens", steps_done_ * tokens_per_step()},
                  {"unpadded_tokens", unpadded_tokens_},
                  {"batch_sequences", config_.batch.sequences},
                  {"recent_losses", losses_.recent()},
                  {"recent_grad_norms", grad_norms_.recent()},
                  {"largest_loss", largest_loss_},
                  {"largest_norm", largest_norm_},
                  {"averages", counts},
                  {"average_first_steps", first_steps},
                  {"tokenizer_hash", fmt::format("{:016x}", tokenizer_hash_)},
                  {"data", batches_.fingerprint()},
                  {"validation", validation_shards()}};
    state.update(more);
    before_commit();
    writer->commit(state, rotation);
  });
  return ruined;
}

void Trainer::load_weights(const TensorFiles& files) {
  const ModelWeights weights(config_.model, files);
  for (const Share& share : sharding_.shares()) {
    const std::vector<float> values = weights.read(*share.parameter);
    if (!std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); }))
      fail("{}: tensor '{}': found a value that is not finite in fp32", files.path().string(), share.parameter->name);
    upload_floats(backend_, share.value(), values.data() + share.begin);
    if (!share.master.empty()) backend_.copy(share.weight, share.master);
  }
  check_mapped_files();
  sharding_.weights_written();
  last_loss_ = 0;
}

// An average that holds weights of earlier steps than the config allows begins anew. Its checkpoint was written under
// another config.
void Trainer::restore_averages(const std::filesystem::path& folder, JsonObject state) {
  if (!state.has("averages")) return;
  JsonObject counts = state.object("averages");
  for (Averages::Average& average : averages_.all()) {
    const int64_t count = counts.integer(average.name, 0, 0);
    if (count == 0) continue;
    // Older checkpoints lack the first step. It is this one if no update was skipped.
    int64_t first = steps_done_ - count + 1;
    if (state.has("average_first_steps"))
      first = state.object("average_first_steps").integer(average.name, {}, 1, steps_done_);
    if (first < averages_.first_step(average)) continue;
    average.count = count;
    average.first = first;
    const TensorFiles files(folder, average.name);
    const ModelWeights weights(config_.model, files);
    for (size_t i = 0; i < average.values.size(); ++i) {
      const Share& share = sharding_.shares()[i];
      upload_floats(backend_, average.values[i], weights.read(*share.parameter).data() + share.begin);
    }
  }
}

Json Trainer::restore(const std::filesystem::path& folder) {
  Checkpoint checkpoint(folder);
  auto source = std::make_shared<JsonSource>(JsonSource{(folder / "state.json").string(), ""});
  JsonObject state(source, checkpoint.state());
  if (const int64_t version = state.integer("version"); version != state_version)
    fail("{}: found version {}, expected {}", source->name, version, state_version);
  check_fingerprint(state.raw("data"), batches_.fingerprint());
  check_same_tokenizer(tokenizer_hash_, "tokenizer: " + config_.tokenizer, tokenizer_of_checkpoint(checkpoint),
                       folder.string());
  if (const int64_t sequences = state.integer("batch_sequences"); sequences != config_.batch.sequences)
    fail(
        "{0}: batch.sequences: found {2} in the config, expected {1} as in the run, because another value changes the "
        "sample order; to take only the weights, use \"init\" and another run.dir",
        source->name, sequences, config_.batch.sequences);

  steps_done_ = state.integer("step", {}, 0, most_steps(config_.batch));
  if (const int64_t named = step_of(folder); named >= 0 && steps_done_ != named)
    state.fail("step", fmt::format("found {}, expected {} as the folder's name says", steps_done_, named));

  load_weights(checkpoint.model());
  for (const StateTensor& s : optimizer_.state()) {
    if (!checkpoint.optimizer().has(s.name))
      fail("{}: found no tensor '{}' of this optimizer: a checkpoint of another optimizer",
           checkpoint.optimizer().path().string(), s.name);
    const StoredTensor& stored = checkpoint.optimizer().find(s.name);
    if (stored.shape != shape_of(s))
      fail("{}: tensor '{}': found {}, expected [{}]: a checkpoint of another optimizer",
           checkpoint.optimizer().file_of(s.name).string(), s.name, stored.describe(), fmt::join(shape_of(s), ", "));
    upload_floats(backend_, s.tensor, read_floats(stored).data() + s.begin);
  }
  restore_averages(folder, state);
  losses_.restore(state.numbers("recent_losses", std::vector<double>()));
  grad_norms_.restore(state.numbers("recent_grad_norms", std::vector<double>()));
  check_mapped_files();
  largest_loss_ = std::max(largest_loss_, state.number("largest_loss", 0.0));
  largest_norm_ = state.number("largest_norm", 0.0);
  // Older checkpoints lack `updates`. Their runs counted every step as an update.
  optimizer_.set_updates(state.integer("updates", steps_done_, 0, steps_done_));
  state.number("seconds", 0.0, 0);
  // If an older checkpoint lacks unpadded_tokens, the tokens are counted from the data.
  unpadded_tokens_ = state.has("unpadded_tokens") ? state.integer("unpadded_tokens", {}, 0, most_tokens)
                                                  : batches_.count(0, steps_done_ * config_.batch.sequences).inputs;
  start_prefetch();
  return checkpoint.state();
}

}  // namespace rowan

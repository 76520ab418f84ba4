#include "run/run_folder.h"

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "model/weights.h"

namespace rowan {

RunFolder::RunFolder(const std::filesystem::path& folder, const std::function<void(const std::string&)>& warn) {
  const std::filesystem::path path = folder / "config.json";
  if (!std::filesystem::exists(path)) fail("{}: not the directory of a run: it has no config.json", folder.string());
  source_ = std::make_shared<JsonSource>(JsonSource{path.string(), read_file(path)});
  config_ = parse_json(*source_);
  JsonObject object = config();
  model_ = parse_model(object.object("model", true));
  tokenizer_ = object.string("tokenizer", "");
  auto newest = newest_checkpoint(folder / "checkpoints", warn);
  if (!newest) fail("{}: no checkpoint yet", (folder / "checkpoints").string());
  checkpoint_ = std::make_unique<Checkpoint>(*newest);
}

void load_weights(Model& model, const TensorFiles& files) {
  const ModelWeights weights(model.config(), files);
  for (const Parameter& parameter : model.parameters().parameters())
    model.set(parameter, weights.read(parameter).data());
}

Predictor::Predictor(Backend& backend, const RunFolder& run, int64_t window)
    : backend_(backend),
      model_(backend, run.model(), {.batch = 1, .seq = window, .training = false, .growing = true}),
      memory_(backend, Category::data),
      input_(memory_.take(DType::i32, {window})) {
  load_weights(model_, run.checkpoint().model());
}

std::vector<float> Predictor::operator()(std::span<const int32_t> tokens) {
  const size_t window = static_cast<size_t>(input_.numel());
  const int64_t vocabulary = model_.config().vocabulary;
  for (int32_t id : tokens)
    if (id < 0 || id >= vocabulary) fail("token {} is outside the model's vocabulary of {}", id, vocabulary);

  auto grows = [&] {
    return tokens.size() > start_ + seen_.size() && std::ranges::equal(tokens.subspan(start_, seen_.size()), seen_);
  };
  if (!grows()) {
    start_ = tokens.size() > window ? tokens.size() - window : 0;
    seen_.clear();
  } else if (tokens.size() - start_ > window) {
    start_ = tokens.size() - (window + 1) / 2;
    seen_.clear();
  }
  const std::span<const int32_t> fresh = tokens.subspan(start_ + seen_.size());
  Tensor input = input_.slice(0, static_cast<int64_t>(fresh.size()));
  backend_.upload(input, fresh.data());
  model_.forward_next(input, static_cast<int64_t>(seen_.size()));
  seen_.insert(seen_.end(), fresh.begin(), fresh.end());
  return model_.logits(static_cast<int64_t>(seen_.size()) - 1);
}

}  // namespace rowan

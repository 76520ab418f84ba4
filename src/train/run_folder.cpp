#include "train/run_folder.h"

#include <algorithm>

#include "base/error.h"
#include "base/files.h"

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
  std::vector<TensorInfo> wanted;
  for (const Parameter& parameter : model.parameters().parameters())
    wanted.push_back({parameter.name, "F32", parameter.shape});
  expect_tensors(files, wanted, "model");
  for (const Parameter& parameter : model.parameters().parameters())
    model.set(parameter, read_floats(files.find(parameter.name)).data());
}

Predictor::Predictor(Backend& backend, const RunFolder& run, int64_t window)
    : backend_(backend),
      model_(backend, run.model(), {.batch = 1, .seq = window, .training = false}),
      memory_(backend, Category::data),
      input_(memory_.take(DType::i32, {window})) {
  load_weights(model_, run.checkpoint().model());
}

std::vector<float> Predictor::operator()(std::span<const int32_t> tokens) {
  const size_t window = static_cast<size_t>(input_.numel());
  const int64_t vocabulary = model_.config().vocabulary;
  if (tokens.size() > window) tokens = tokens.last(window);
  for (int32_t id : tokens)
    if (id < 0 || id >= vocabulary) fail("token {} is outside the model's vocabulary of {}", id, vocabulary);
  // What stands behind the last token does not reach it: attention is causal.
  std::vector<int32_t> padded(window);
  std::copy(tokens.begin(), tokens.end(), padded.begin());
  backend_.upload(input_, padded.data());
  model_.forward(input_);
  std::vector<float> logits(static_cast<size_t>(vocabulary));
  backend_.download(logits.data(), model_.logits(static_cast<int64_t>(tokens.size()) - 1, 1));
  return logits;
}

}  // namespace rowan

#include "run/run_folder.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/error.h"
#include "base/files.h"
#include "base/folder_kind.h"
#include "base/human.h"
#include "base/memory.h"
#include "kernels/dry/dry_backend.h"
#include "model/weights.h"

namespace rowan {

namespace {

namespace fs = std::filesystem;

std::string steps_text(const std::vector<fs::path>& checkpoints) {
  std::string text = "the checkpoints are of steps";
  for (const fs::path& path : checkpoints) text += fmt::format(" {}", step_of(path));
  return text;
}

fs::path best_checkpoint(const fs::path& run, const std::vector<fs::path>& there, const Note& note) {
  fs::path best;
  double lowest = std::numeric_limits<double>::infinity();
  if (fs::exists(run / "metrics.jsonl"))
    for (const Json& row : read_metrics(run / "metrics.jsonl", note)) {
      if (!row.contains("val_loss") || row["val_loss"].is_null() || row["val_loss"] >= lowest) continue;
      const fs::path path = checkpoint_path(run / "checkpoints", row["step"].get<int64_t>());
      if (std::find(there.begin(), there.end(), path) == there.end()) continue;
      best = path;
      lowest = row["val_loss"].get<double>();
    }
  if (best.empty()) fail("{}: --step best: found no evaluated checkpoint; {}", run.string(), steps_text(there));
  return best;
}

}  // namespace

NamedCheckpoint find_checkpoint(const fs::path& named, const std::string& step, const Note& note) {
  if (fs::exists(named / "manifest.json") && fs::exists(named / "state.json")) {
    if (step != "newest") fail("{}: --step {}: found a checkpoint, expected a run", named.string(), step);
    verify_checkpoint(named);
    return {fs::absolute(named).lexically_normal().parent_path().parent_path(), named};
  }
  const fs::path folder = named / "checkpoints";
  const std::vector<fs::path> there = list_checkpoints(folder);
  if (there.empty()) fail("{}: no checkpoint yet", folder.string());
  if (step == "newest") return {named, *newest_checkpoint(folder, note)};
  fs::path chosen;
  if (step == "best") {
    chosen = best_checkpoint(named, there, note);
  } else {
    int64_t number = -1;
    const auto [end, error] = std::from_chars(step.data(), step.data() + step.size(), number);
    if (error != std::errc() || end != step.data() + step.size() || number < 0)
      fail("--step: found '{}', expected a step, best or newest; {}", step, steps_text(there));
    chosen = checkpoint_path(folder, number);
    if (!fs::exists(chosen)) fail("{}: --step: found {}, but {}", named.string(), step, steps_text(there));
  }
  verify_checkpoint(chosen);
  return {named, chosen};
}

std::optional<DocumentOptions> document_options(const DataConfig& data, int32_t end_token) {
  if (!data.documents) return {};
  return DocumentOptions{{end_token, data.documents->end_token == EndToken::first},
                         data.documents->positions == DocumentPositions::restart};
}

RunFolder::RunFolder(const fs::path& named, const std::string& step, const Note& note, const std::string& weights) {
  const std::optional<FolderKind> kind = folder_kind(named);
  if (kind && kind != FolderKind::run && kind != FolderKind::checkpoint)
    fail("{}: found {}, expected a run or one of its checkpoints", named.string(), name_of(*kind));
  if (!fs::exists(named / "config.json") && !fs::exists(named / "state.json"))
    fail("{}: found no config.json, expected the folder of a run", named.string());
  const NamedCheckpoint found = find_checkpoint(named, step, note);
  const fs::path path = found.run / "config.json";
  source_ = std::make_shared<JsonSource>(JsonSource{path.string(), read_file(path)});
  config_ = parse_json(*source_);
  JsonObject object = config();
  model_ = parse_model(object.object("model", true));
  if (object.has("data")) data_ = parse_data(object.object("data"));
  tokenizer_ = object.string("tokenizer", "");
  checkpoint_ = std::make_unique<Checkpoint>(found.checkpoint, weights);
}

void check_model_fits(const Backend& backend, const ModelConfig& config, const ModelOptions& options,
                      const std::string& remedy) {
  if (!backend.host_memory()) return;
  auto dry = make_dry_backend();
  const Model model(*dry, config, options);
  if (const size_t needed = dry->bytes(), available = available_memory(); needed > available)
    fail("out of memory: found {1} free, expected {0} for the model; {2}", human_bytes(static_cast<double>(needed)),
         human_bytes(static_cast<double>(available)), remedy);
}

namespace {

ModelOptions checked(const Backend& backend, const ModelConfig& config, const ModelOptions& options) {
  check_model_fits(backend, config, options, fmt::format("its context has {} tokens", options.seq));
  return options;
}

}  // namespace

void load_weights(Model& model, const TensorFiles& files) {
  const ModelWeights weights(model.config(), files);
  for (const Parameter& parameter : model.parameters().parameters())
    model.set(parameter, weights.read(parameter).data());
}

Predictor::Predictor(Backend& backend, const RunFolder& run, int64_t window, int32_t end_token)
    : backend_(backend),
      model_(
          backend, run.model(),
          checked(
              backend, run.model(),
              {.batch = 1, .seq = window, .training = false, .growing = true, .documents = run.documents(end_token)})),
      memory_(backend, Category::data),
      input_(memory_.take(DType::i32, {window})) {
  load_weights(model_, run.checkpoint().model());
}

std::vector<float> Predictor::operator()(std::span<const int32_t> tokens) {
  const size_t window = static_cast<size_t>(input_.numel());
  const int64_t vocabulary = model_.config().vocabulary;
  for (int32_t id : tokens)
    if (id < 0 || id >= vocabulary)
      fail("token: found id {}, expected less than {}, the model's vocabulary", id, vocabulary);

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

// The README.md of an exported model.
#include <fmt/format.h>

#include "base/files.h"
#include "base/human.h"
#include "model/layout.h"
#include "run/export.h"
#include "run/metrics.h"
#include "run/run_folder.h"
#include "run/starts.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

// Marks a model card that model_card() made. A README.md without this mark is kept.
const char* const mark = "<!-- written by rowan export -->";

std::string row(const char* what, const std::string& value) { return fmt::format("| {} | {} |\n", what, value); }

std::string text_of(const Json& object, const char* key) {
  if (!object.is_object() || !object.contains(key)) return "";
  return object[key].is_string() ? object[key].get<std::string>() : object[key].dump();
}

// The validation loss of these weights at the checkpoint's step; "" if the run did not evaluate them there.
std::string validation_of(const RunFolder& run, const fs::path& metrics) {
  if (!fs::exists(metrics)) return "";
  const std::string step = text_of(run.checkpoint().state(), "step");
  const std::string key = run.weights() == "raw" ? "val_loss" : "val_loss_" + run.weights();
  std::string text;
  for (const Json& row : read_metrics(metrics, [](const std::string&) {}))
    if (text_of(row, "step") == step && row.contains(key) && row[key].is_number())
      text = fmt::format("{:.4f} nats per token after step {}", row[key].get<double>(), step);
  return text;
}

}  // namespace

bool has_own_card(const fs::path& folder) {
  const fs::path path = folder / "README.md";
  return fs::exists(path) && read_file(path).find(mark) != std::string::npos;
}

ExportFiles model_card(const RunFolder& run, const fs::path& folder) {
  if (fs::exists(folder / "README.md") && !has_own_card(folder)) return {};
  JsonObject config = run.config();
  auto section = [&](const char* key) { return config.has(key) ? config.raw(key) : Json::object(); };
  const Json optimizer = section("optimizer"), batch = section("batch"), data = section("data");
  const Json& state = run.checkpoint().state();
  const ModelConfig& model = run.model();
  const int64_t parameters = parameter_table(model).count();

  std::string card =
      "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n- rowan\n---\n" + std::string(mark) +
      "\n\n# A model of " + human_count(static_cast<double>(parameters)) + " parameters (" +
      text_of(model.resolved, "model_type") + ")\n\nTrained from " +
      (config.string("init", "").empty() ? "random weights" : "the weights of " + config.string("init")) +
      " with Rowan, which wrote this card from the run's own record. Nobody "
      "has reviewed the model's output; it imitates the text it was trained on.\n\n"
      "| what | value |\n|---|---|\n";
  card += row("layers, width, heads", fmt::format("{}, {}, {}", model.layers, model.hidden, model.heads));
  card += row("vocabulary, context", fmt::format("{} ids, {} tokens", model.vocabulary, model.positions));
  card += row("tokenizer", run.tokenizer().empty() ? "not named by the run" : run.tokenizer());
  card += row("training data", data.contains("mixture") ? text_of(data, "mixture") : text_of(data, "train"));
  card += row("steps, tokens", text_of(state, "step") + ", " + text_of(state, "tokens"));
  if (run.weights() != "raw")
    card += row("weights",
                run.weights() + ", an average over " + text_of(state["averages"], run.weights().c_str()) + " updates");
  card += row("sequence length", text_of(batch, "sequence_length"));
  card += row("optimizer", text_of(optimizer, "name") + ", lr " + text_of(optimizer, "lr"));
  for (const std::string& change : changes_on_the_way(read_starts(run.path(), [](const std::string&) {})))
    card += row("changed on the way", change);
  if (config.has("precision")) card += row("precision", config.string("precision"));
  if (const std::string loss = validation_of(run, run.path() / "metrics.jsonl"); !loss.empty())
    card += row("validation loss", loss);
  card +=
      "\n```python\nfrom transformers import pipeline\n\npipeline(\"text-generation\", \"PATH OF THIS FOLDER\")(\"Once "
      "upon a time\")\n```\n\nThe whole config of the run:\n\n```json\n" +
      read_file(run.path() / "config.json") + "```\n";
  return {{"README.md", card}};
}

}  // namespace rowan

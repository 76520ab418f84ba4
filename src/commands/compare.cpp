// rowan compare: what several runs came to, in one Markdown table, best validation loss first.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/console.h"
#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "commands/commands.h"
#include "optim/config.h"
#include "run/metrics.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

struct Run {
  std::string name, optimizer;
  double lr = unknown;
  int64_t steps = 0, planned = 0;
  double tokens = unknown, seconds = unknown;
  double train_loss = unknown;  // mean of the logged losses of the last tenth of the steps done
  double val_loss = unknown, best = unknown;
  int64_t best_step = 0;
};

double figure(const Json& row, const char* key) {
  return row.contains(key) && row[key].is_number() ? row[key].get<double>() : unknown;
}

Run read_run(const std::string& folder) {
  const fs::path dir = folder, config = dir / "config.json", metrics = dir / "metrics.jsonl";
  if (!fs::exists(config) || !fs::exists(metrics))
    fail("{}: not the directory of a run: no {}", folder, (fs::exists(config) ? metrics : config).filename().string());
  auto source = std::make_shared<const JsonSource>(JsonSource{config.string(), read_file(config)});
  const Json json = parse_json(*source);
  JsonObject root(source, json);
  Run run;
  run.name = folder;
  const Recipe recipe = parse_optimizer(root.object("optimizer", true)).main();
  run.optimizer = recipe.name, run.lr = recipe.lr;
  run.planned = root.object("run", true).integer("steps");

  const std::vector<Json> rows = read_metrics(metrics, [](const std::string& text) { tell("rowan: {}\n", text); });
  for (const Json& row : rows) {
    if (!row.contains("loss")) continue;
    run.steps = row.at("step"), run.tokens = figure(row, "tokens"), run.seconds = figure(row, "seconds");
  }
  double sum = 0, count = 0;
  for (const Json& row : rows) {
    const double loss = figure(row, "loss"), val_loss = figure(row, "val_loss");
    if (row.contains("loss") && row.at("step") > run.steps - run.steps / 10) sum += loss, ++count;
    if (!row.contains("val_loss")) continue;
    run.val_loss = val_loss;
    if (val_loss < run.best || std::isnan(run.best)) run.best = val_loss, run.best_step = row.at("step");
  }
  run.train_loss = sum / count;
  return run;
}

std::string shown(double value, const char* format) {
  return std::isfinite(value) ? fmt::format(fmt::runtime(format), value) : "-";
}

void compare(const std::vector<std::string>& folders) {
  std::vector<Run> runs;
  for (const std::string& folder : folders) runs.push_back(read_run(folder));
  std::stable_sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) {
    return std::isnan(b.val_loss) ? !std::isnan(a.val_loss) : a.val_loss < b.val_loss;
  });

  std::vector<std::vector<std::string>> table = {{"run", "optimizer", "lr", "steps", "tokens", "train loss", "val loss",
                                                  "perplexity", "best val loss", "tokens/s", "time"}};
  for (const Run& r : runs)
    table.push_back({r.name, r.optimizer, fmt::format("{:g}", r.lr),
                     r.steps == r.planned ? fmt::format("{}", r.steps) : fmt::format("{} of {}", r.steps, r.planned),
                     std::isfinite(r.tokens) ? human_count(r.tokens) : "-", shown(r.train_loss, "{:.4f}"),
                     shown(r.val_loss, "{:.4f}"), shown(std::exp(r.val_loss), "{:.3f}"),
                     std::isfinite(r.best) ? fmt::format("{:.4f} at {}", r.best, r.best_step) : "-",
                     shown(r.tokens / r.seconds, "{:.0f}"), human_duration(r.seconds)});
  std::vector<size_t> widths(table[0].size());
  for (const auto& row : table)
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  for (size_t r = 0; r < table.size(); ++r) {
    for (size_t c = 0; c < widths.size(); ++c) fmt::print("| {:<{}} ", table[r][c], widths[c]);
    fmt::print("|\n");
    if (r > 0) continue;
    for (size_t width : widths) fmt::print("|{:-<{}}", "", width + 2);
    fmt::print("|\n");
  }
}

}  // namespace

void add_compare(CommandLine& command) {
  auto folders = std::make_shared<std::vector<std::string>>();
  command.add("RUN", *folders, "run directories").required();
  command.set_action([folders] { compare(*folders); });
}

}  // namespace rowan

// rowan compare prints the results of runs, or of a sweep, as a table. rowan report writes the results as an HTML page
// with plots.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/console.h"
#include "base/error.h"
#include "base/file_kind.h"
#include "base/files.h"
#include "base/human.h"
#include "base/names.h"
#include "commands/commands.h"
#include "report/html.h"
#include "report/judge.h"

namespace rowan {
namespace {

struct CompareOptions {
  std::vector<std::string> runs;
  std::string by, metric, targets, against, format, out = "report.html";
  double loss = 0;
  bool times = false;
};

std::string figure_or_empty(double value, const char* format) {
  return std::isfinite(value) ? fmt::format(fmt::runtime(format), value) : "";
}

// One row per run, without groups. The rows are sorted by the last validation loss, lowest first. Then come the runs
// that diverged, and then those without a validation loss.
Table table_of_runs(const ResultSet& set) {
  struct Row {
    const ResultRun* run;
    double last = std::numeric_limits<double>::quiet_NaN(), best = last;
    double last_step = 0, best_step = 0;
  };
  std::vector<Row> rows;
  for (const ResultRun& run : set.runs) {
    Row& row = rows.emplace_back(Row{&run});
    if (const auto curve = run.validation.find(set.metric); curve != run.validation.end())
      for (const ResultPoint& point : curve->second) {
        row.last = point.loss, row.last_step = point.step;
        if (!(point.loss >= row.best)) row.best = point.loss, row.best_step = point.step;
      }
    if (run.diverged) row.last = std::numeric_limits<double>::infinity();
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    return std::isnan(b.last) ? !std::isnan(a.last) : a.last < b.last;
  });
  const std::string loss = set.metric == "val_loss" ? "val loss" : set.metric;
  Table table;
  table.columns = {{"run", "run"},
                   {"optimizer", "optimizer"},
                   {"lr", "lr"},
                   {"AdamW lr", "adamw_lr"},
                   {"steps", "steps"},
                   {"tokens", "tokens"},
                   {"train loss", "train_loss"},
                   {loss, set.metric},
                   {"perplexity", "perplexity"},
                   {"best " + loss, "best"},
                   {"tokens/s", "tokens_per_second"},
                   {"time", "seconds"}};
  for (const Row& row : rows) {
    const ResultRun& r = *row.run;
    const Rates rates = rates_of(r);
    // An unfinished run may have trained since its last evaluation.
    const bool earlier = std::isfinite(row.last) && row.last_step != static_cast<double>(r.steps);
    const auto at = [](double step) { return fmt::format(" at {}", step); };
    table.add_row() = {
        {r.name, r.name},
        {rates.recipe, rates.recipe},
        {figure_or_empty(rates.main, "{:g}"), rates.main},
        {rates.adamw ? fmt::format("{:g}", *rates.adamw) : "", rates.adamw ? Json(*rates.adamw) : Json()},
        {r.steps == r.planned ? fmt::format("{}", r.steps) : fmt::format("{} of {}", r.steps, r.planned), r.steps},
        {std::isfinite(r.tokens) ? human_count(r.tokens) : "", r.tokens},
        {figure_or_empty(r.train_loss, "{:.4f}"), r.train_loss},
        {r.diverged ? "diverged" : figure_or_empty(row.last, "{:.4f}") + (earlier ? at(row.last_step) : ""), row.last},
        {figure_or_empty(std::exp(row.last), "{:.3f}"), std::exp(row.last)},
        {std::isfinite(row.best) ? fmt::format("{:.4f}", row.best) + at(row.best_step) : "", row.best},
        {figure_or_empty(r.tokens / r.seconds, "{:.0f}"), r.tokens / r.seconds},
        {human_duration(r.seconds), r.seconds}};
  }
  table.notes = notes_on(set);
  return table;
}

// Whether a table of groups is printed, in which each run is a group of its own if neither a sweep nor --by makes
// groups.
bool asks_for_groups(const CompareOptions& options) {
  return !options.against.empty() || !options.targets.empty() || options.loss > 0;
}

// Throws Error if the targets belong to other configs than those of the runs.
void check_targets(const ResultSet& set, const std::string& file) {
  if (set.runs.empty()) return;
  for (const ResultRun& run : set.runs)
    for (const Json& target : set.targets)
      if (is_config_of(target, run.config_file)) return;
  const std::string& first = set.runs.front().config_file;
  fail(
      "--targets {}: found results of other configs only, expected those of a given run, such as {}; the key \"file\" "
      "of its starts.jsonl names the config of a run",
      file, first.empty() ? set.runs.front().name + ", whose starts name no config" : first);
}

ResultSet read(const CompareOptions& options, bool in_groups) {
  const bool sweep = options.runs.size() == 1 && is_sweep(options.runs[0]);
  if (sweep && !options.by.empty())
    fail("--by: found the sweep {}, which is grouped by its axes; leave --by out", options.runs[0]);
  ResultSet set = sweep ? read_sweep(options.runs[0]) : read_runs(options.runs, listed(options.by));
  if (!sweep && set.axes.empty() && in_groups) {
    set.axes = {"run"};
    for (ResultRun& run : set.runs) run.labels = {run.name};
  }
  if (!options.metric.empty()) set.metric = options.metric;
  if (!options.against.empty()) {
    std::set<std::string> axes;
    for (const ResultRun& run : set.runs)
      for (size_t axis = 0; axis < std::min(set.axes.size(), run.labels.size()); ++axis)
        if (run.labels[axis] == options.against) axes.insert(set.axes[axis]);
    if (axes.size() > 1)
      fail("--against: found '{}', a label of the axes {}; expected a label of one axis", options.against,
           fmt::join(axes, " and "));
    if (axes.empty())
      fail("--against: found '{}', expected the label of a group, or a run if there are no groups", options.against);
    set.against = options.against;
  }
  if (options.loss > 0) set.loss = options.loss;
  if (!options.targets.empty()) {
    set.targets = load_targets(options.targets);
    check_targets(set, options.targets);
  }
  return set;
}

void compare(const CompareOptions& options) {
  const bool in_groups = asks_for_groups(options);
  const ResultSet set = read(options, in_groups);
  const Table table = set.axes.empty() && !in_groups ? table_of_runs(set) : judge(set, options.times);
  if (options.format.empty()) return fmt::print("{}", render_for(table, terminal_columns(stdout)));
  const std::vector<std::string> formats = table_formats();
  const auto format =
      static_cast<TableFormat>(std::find(formats.begin(), formats.end(), options.format) - formats.begin());
  fmt::print("{}", render(table, format));
  if (format != TableFormat::csv) return;
  for (const std::string& note : table.notes) tell("rowan: {}\n", note);
}

void add_choices(CommandLine& command, const std::shared_ptr<CompareOptions>& options) {
  command.add("RUN", options->runs, "run directories, or the directory of a sweep").required();
  command.add("--by", options->by, "config paths to group runs by, such as optimizer.name,run.steps")
      .type_name("PATH,...");
  command.add("--metric", options->metric).one_of(loss_metrics());
  command.add("--against", options->against, "a group or run; also print the differences from it, seed by seed")
      .type_name("LABEL");
  command.add("--loss", options->loss, "also print the tokens that each group or run needs to reach this loss")
      .range(1e-6, 1e6);
  command
      .add("--targets", options->targets,
           "published results of the runs' configs, such as configs/papers/nora/targets.json")
      .type_name("FILE");
}

std::string title_of(const std::vector<std::string>& runs) {
  const size_t named = runs.size() == 3 ? 3 : std::min<size_t>(runs.size(), 2);
  std::string title = join({runs.begin(), runs.begin() + static_cast<ptrdiff_t>(named)});
  if (named < runs.size()) title += fmt::format(" and {} more", runs.size() - named);
  return title;
}

}  // namespace

void add_compare(CommandLine& command) {
  auto options = std::make_shared<CompareOptions>();
  add_choices(command, options);
  command.add("--format", options->format, "format of the tables; by default text on a terminal, else markdown")
      .one_of(table_formats());
  command.add_flag("--times", options->times, "also print times and rates");
  command.set_action([options] { compare(*options); });
}

void add_report(CommandLine& command) {
  auto options = std::make_shared<CompareOptions>();
  add_choices(command, options);
  command.add("--out", options->out, "HTML file to write").show_default();
  command.set_action([options] {
    check_replaced(options->out, page_begin, "a page of rowan report");
    ResultSet set = read(*options, true);
    if (set.axes.empty()) {  // a sweep without axes
      for (ResultRun& run : set.runs) run.labels = {run.name};
      set.axes = {"run"};
    }
    write_file_atomically(options->out, html_report(set, title_of(options->runs)));
    tell("rowan: wrote {}\n", options->out);
  });
}

}  // namespace rowan

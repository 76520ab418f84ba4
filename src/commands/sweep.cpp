#include "sweep/sweep.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/console.h"
#include "base/error.h"
#include "base/files.h"
#include "commands/commands.h"
#include "report/html.h"
#include "report/judge.h"

namespace rowan {
namespace {

struct SweepOptions {
  std::string file, only;
  std::vector<std::string> overrides;
  bool list = false, slurm = false;
};

// Returns a warning if the sweep tunes optimizer.lr, and in a chosen cell the learning rate of the AdamW group does not
// change with it. Otherwise returns "".
std::string fixed_rate_note(const SweepConfig& sweep) {
  if (!sweep.tuning || sweep.tuning->paths[0] != "optimizer.lr" || sweep.tuning->values.size() < 2) return "";
  size_t chosen = 0, fixed = 0;
  std::string first;
  for (size_t cell = 0; cell < sweep.cells.size(); ++cell) {
    if (!sweep.cells[cell].chosen) continue;
    ++chosen;
    const auto rate = [&](double value) {
      return config_of(sweep, make_run(sweep, cell, value, {})).optimizer.rates().adamw;
    };
    const double own = sweep.tuning->factors ? sweep.cells[cell].own : 1;
    const auto low = rate(own * sweep.tuning->values.front()), high = rate(own * sweep.tuning->values.back());
    if (!low || low != high) continue;
    if (fixed++ > 0) continue;
    const std::vector<std::string>& labels = sweep.cells[cell].labels;
    first = fmt::format("{:g}{}", *low, labels.empty() ? "" : fmt::format(" ({})", fmt::join(labels, ", ")));
  }
  if (fixed == 0) return "";
  return fmt::format(
      "optimizer.lr is tuned, but the AdamW rate of {} of {} cells stays, at {}; optimizer.adamw.lr_ratio ties it to "
      "optimizer.lr",
      fixed, chosen, first);
}

void sweep_command(const SweepOptions& options) {
  if (options.list && options.slurm) fail("--slurm: found it with --list, expected one of them");
  SweepConfig sweep =
      load_sweep(options.file, {options.overrides.begin(), options.overrides.end()}, !options.list && !options.slurm);
  if (!options.only.empty()) choose_cells(sweep, listed(options.only));
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  if (options.list) {
    fmt::print("{}", list_runs(sweep));
    return;
  }
  if (options.slurm) {
    fmt::print("{}", slurm_script(sweep, program));
    return;
  }
  if (const std::string note = fixed_rate_note(sweep); !note.empty()) tell("rowan: {}\n", note);
  const SweepEnd end = run_sweep(sweep, program);
  const ResultSet results = read_sweep(sweep.dir);
  const Table table = judge(results);
  write_file_atomically(sweep.dir / "table.md", render(table, TableFormat::markdown));
  write_file_atomically(sweep.dir / "table.csv", render(table, TableFormat::csv));
  write_file_atomically(sweep.dir / "table.json", render(table, TableFormat::json));
  write_file_atomically(sweep.dir / "report.html", html_report(results, sweep.file));
  if (end.signal) {
    tell("rowan: stopped by a signal; the same command continues the sweep\n");
    throw Exit{128 + end.signal};
  }
  fmt::print("{}", render(table, TableFormat::text));
  tell("rowan: wrote {}\n", (sweep.dir / "report.html").string());
  if (!end.failed.empty())
    fail("{} of the runs failed, their logs are in {}; the same command retries them; the first: {}", end.failed.size(),
         (sweep.dir / "failed").string(), end.failed[0]);
}

}  // namespace

void add_sweep(CommandLine& command) {
  auto options = std::make_shared<SweepOptions>();
  command.add("FILE", options->file, "JSON file: a base config, axes, seeds").required();
  command
      .add("--set", options->overrides,
           "PATH=VALUE overrides a key of the sweep file, set.PATH=VALUE a key of all its configs")
      .type_name("PATH=VALUE")
      .one_at_a_time();
  command.add("--only", options->only, "start or list only runs with one of these labels; the tables keep the others")
      .type_name("LABEL,...");
  command.add_flag("--list", options->list, "list the known runs and start none");
  command.add_flag("--slurm", options->slurm, "print an sbatch script of the unfinished runs and start none");
  command.set_action([options] { sweep_command(*options); });
}

}  // namespace rowan

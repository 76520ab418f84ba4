#include "sweep/tuning.h"

#include <algorithm>

#include "base/error.h"

namespace rowan {
namespace {

using State = RunOutcome::State;

bool is_accepted(const SweepConfig& sweep, const SweepRun& run) {
  try {
    config_of(sweep, run);
    return true;
  } catch (const Error&) {
    return false;
  }
}

// The finished, failed and open runs of a cell.
std::vector<SweepRun> runs_of_cell(const SweepConfig& sweep, size_t cell, const OutcomeOf& outcome_of) {
  std::vector<SweepRun> runs;
  const std::optional<int64_t> first = sweep.seeds.empty() ? std::nullopt : std::optional(sweep.seeds[0]);
  if (!sweep.tuning) {
    if (!first) runs.push_back(make_run(sweep, cell, {}, {}));
    for (int64_t seed : sweep.seeds) runs.push_back(make_run(sweep, cell, {}, seed));
    return runs;
  }
  const Tuning& tuning = *sweep.tuning;
  const double own = tuning.factors ? sweep.cells[cell].own : 1;
  for (double value : tuning.values) runs.push_back(make_run(sweep, cell, value * own, first));
  const double lowest = *runs.front().tuned / tuning.farthest, highest = *runs.back().tuned * tuning.farthest;
  constexpr double slack = 1 + 1e-5;  // tolerance for rounded values
  // The run at `next`, a step beyond the grid's end `end`; nothing if the grid does not grow there. `next` may be equal
  // to `end` when rounded.
  const auto beyond = [&](double end, double next) -> std::optional<SweepRun> {
    if (next * slack < lowest || next > highest * slack) return {};
    SweepRun run = make_run(sweep, cell, next, first);
    if (run.tuned == end || (outcome_of(run).state == State::open && !is_accepted(sweep, run))) return {};
    return run;
  };
  while (true) {
    size_t best = 0;
    std::vector<double> losses;
    for (const SweepRun& run : runs) {
      const RunOutcome outcome = outcome_of(run);
      if (outcome.state != State::done) return runs;
      losses.push_back(outcome.loss);
      if (losses.back() < losses[best]) best = losses.size() - 1;
    }
    const double value = *runs[best].tuned;
    std::optional<SweepRun> added;
    if (tuning.extend > 0 && best == 0 && (added = beyond(value, value / tuning.extend))) {
      runs.insert(runs.begin(), *added);
    } else if (tuning.extend > 0 && best + 1 == runs.size() && (added = beyond(value, value * tuning.extend))) {
      runs.push_back(*added);
    } else {
      for (size_t seed = 1; seed < sweep.seeds.size(); ++seed)
        runs.push_back(make_run(sweep, cell, value, sweep.seeds[seed]));
      return runs;
    }
  }
}

}  // namespace

std::vector<SweepRun> known_runs(const SweepConfig& sweep, const OutcomeOf& outcome_of, Cells cells) {
  std::vector<SweepRun> runs;
  for (size_t cell = 0; cell < sweep.cells.size(); ++cell)
    if (cells == Cells::all || sweep.cells[cell].chosen)
      for (SweepRun& run : runs_of_cell(sweep, cell, outcome_of)) runs.push_back(std::move(run));
  return runs;
}

std::vector<SweepRun> open_runs(const SweepConfig& sweep, const OutcomeOf& outcome_of) {
  std::vector<SweepRun> runs = known_runs(sweep, outcome_of, Cells::chosen);
  std::erase_if(runs, [&](const SweepRun& run) { return outcome_of(run).state != State::open; });
  return runs;
}

}  // namespace rowan

#include "sweep/tuning.h"

#include <algorithm>

namespace rowan {
namespace {

using State = RunOutcome::State;

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
    if (tuning.extend > 0 && best == 0 && value / tuning.extend * slack >= lowest) {
      runs.insert(runs.begin(), make_run(sweep, cell, value / tuning.extend, first));
    } else if (tuning.extend > 0 && best + 1 == runs.size() && value * tuning.extend <= highest * slack) {
      runs.push_back(make_run(sweep, cell, value * tuning.extend, first));
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

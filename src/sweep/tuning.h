// Which runs a sweep still needs: a pure function of what its runs came to, so that a sweep can stop anywhere, and the
// order in which runs end changes nothing.
#pragma once

#include <functional>

#include "sweep/sweep_file.h"

namespace rowan {

struct RunOutcome {
  enum class State { open, done, failed } state = State::open;
  double loss = 0;  // of a run that is done; infinite where it diverged
};
using OutcomeOf = std::function<RunOutcome(const SweepRun&)>;

// The runs to make now, in the order of the cells. Every cell tries its whole grid with the first seed; while the best
// is at an edge the grid grows on that side; then the other seeds run at the best value. A cell with a run that failed
// waits. Without tuning every cell has all seeds.
std::vector<SweepRun> open_runs(const SweepConfig& sweep, const OutcomeOf& outcome_of);

// The runs that open_runs() has asked for so far, and will with these outcomes, in the same order.
std::vector<SweepRun> known_runs(const SweepConfig& sweep, const OutcomeOf& outcome_of);

}  // namespace rowan

// Which runs a sweep still needs: a pure function of the outcomes so far. So a sweep can stop at any time, and the
// order in which runs end does not matter.
#pragma once

#include <functional>

#include "sweep/sweep_file.h"

namespace rowan {

struct RunOutcome {
  enum class State { open, done, failed } state = State::open;
  double loss = 0;  // loss of a finished run; infinite if it diverged
};
using OutcomeOf = std::function<RunOutcome(const SweepRun&)>;

// The runs to start now, in the order of the cells. Every cell first tries its whole grid with the first seed. While
// the best value is at an edge, the grid grows on that side. Then the other seeds run at the best value. A cell with a
// failed run waits. Without tuning, every cell runs all seeds.
std::vector<SweepRun> open_runs(const SweepConfig& sweep, const OutcomeOf& outcome_of);

// All runs that open_runs() has returned or will return with these outcomes, in the same order.
std::vector<SweepRun> known_runs(const SweepConfig& sweep, const OutcomeOf& outcome_of);

}  // namespace rowan

// Decides which runs a sweep needs, as a pure function of the outcomes so far. A sweep can therefore be stopped and
// continued, and the order in which runs end does not matter.
#pragma once

#include <functional>

#include "sweep/sweep_run.h"

namespace rowan {

struct RunOutcome {
  enum class State { open, done, failed } state = State::open;
  double loss = 0;           // loss of a finished run; infinity if it diverged
  std::string message = {};  // the last message of a diverged run, if only its log says that it diverged
};
using OutcomeOf = std::function<RunOutcome(const SweepRun&)>;

enum class Cells : uint8_t { all, chosen };  // all cells, or those with Cell::chosen

// The finished, the failed and the open runs, in the order of the cells. Every cell first runs its whole grid with the
// first seed. While the best value is at an edge, the grid grows on that side, as far as Tuning and the config's key
// allow. Then the other seeds run at the best value. If a run of the grid fails, the rest of the grid still runs, but
// its cell gets no further values and seeds. Without tuning, every cell runs all seeds.
std::vector<SweepRun> known_runs(const SweepConfig& sweep, const OutcomeOf& outcome_of, Cells cells);

// The known runs of the chosen cells that have neither finished nor failed, in the same order.
std::vector<SweepRun> open_runs(const SweepConfig& sweep, const OutcomeOf& outcome_of);

}  // namespace rowan

#include "bench/step_kinds.h"

#include <map>
#include <utility>

namespace rowan {
namespace {

constexpr int64_t periods_before = 100;

// The number of updates, not the argument of Optimizer::step(), decides what a step does.
void make_update(Optimizer& optimizer, int64_t number) {
  optimizer.set_updates(number - 1);
  optimizer.step(number - 1, 1e-3, 1);
}

}  // namespace

std::vector<StepKind> step_kinds(DryBackend& dry, Optimizer& optimizer) {
  std::map<std::pair<double, double>, StepKind> kinds;
  const int64_t before = periods_before * optimizer.period();
  for (int64_t number = before + 1; number <= before + optimizer.period(); ++number) {
    dry.reset_work();
    make_update(optimizer, number);
    StepKind& kind = kinds[{dry.work().flops, dry.work().bytes}];
    if (kind.count++ == 0) kind.first = number, kind.work = dry.work();
  }
  std::vector<StepKind> all;
  for (const auto& entry : kinds) all.push_back(entry.second);
  return all;
}

void make_step(Optimizer& optimizer, const StepKind& kind, int64_t repeat) {
  make_update(optimizer, kind.first + repeat * optimizer.period());
}

}  // namespace rowan

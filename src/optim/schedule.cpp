#include "optim/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "base/json.h"
#include "optim/stage.h"

namespace rowan {
namespace {

// Falls from 1 at progress 0 to `floor` at progress 1, and stays there.
double fall(double progress, double floor, bool cosine) {
  progress = std::clamp(progress, 0.0, 1.0);
  const double left = cosine ? 0.5 * (1 + std::cos(std::numbers::pi * progress)) : 1 - progress;
  return floor + (1 - floor) * left;
}

// A warm-up that is longer than the schedule is shortened to a tenth of the schedule, because runs are often shortened
// for a test. The requested value is stored, so that it applies again when the run gets longer.
void set_warmup(Schedule& schedule, int64_t asked) {
  schedule.warmup_steps = asked;
  if (asked <= schedule.steps) return;
  schedule.asked_warmup_steps = asked;
  schedule.warmup_steps = std::max<int64_t>(1, schedule.steps / 10);
}

void set_decay(Schedule& schedule, int64_t asked) {
  const int64_t left = schedule.steps - schedule.warmup_steps;
  schedule.decay_steps = std::min(asked, left);
  if (asked > left) schedule.asked_decay_steps = asked;
}

// Throws Error for a key that only other shapes have. Usually the config has it, and --set schedule.name changed the
// shape.
void check_shape(const JsonObject& object, const Schedule& schedule) {
  using Shape = Schedule::Shape;
  const bool falls = schedule.shape == Shape::cosine || schedule.shape == Shape::linear;
  for (const auto& [key, has] : {std::pair{"min_lr_ratio", schedule.shape != Shape::constant},
                                 {"falls_from", falls},
                                 {"decay_steps", schedule.shape == Shape::wsd},
                                 {"decay", schedule.shape == Shape::wsd}}) {
    const std::vector<std::string> keys = object.keys();
    if (!has && std::find(keys.begin(), keys.end(), key) != keys.end())
      object.fail(key, fmt::format("has no effect with {0}; to replace the whole schedule of a config: --set "
                                   "'schedule={{\"name\": \"{0}\"}}'",
                                   name_of(schedule.shape)));
  }
}

}  // namespace

double Schedule::multiplier(int64_t step) const {
  const int64_t t = std::max<int64_t>(0, step - from_step);
  if (t < warmup_steps) return static_cast<double>(t) / static_cast<double>(warmup_steps);
  const int64_t begin = falls_from == FallsFrom::warmup ? warmup_steps : 0;
  const double progress = static_cast<double>(t - begin) / static_cast<double>(std::max<int64_t>(1, steps - begin));
  switch (shape) {
    case Shape::constant:
      return 1;
    case Shape::cosine:
      return fall(progress, min_lr_ratio, true);
    case Shape::linear:
      return fall(progress, min_lr_ratio, false);
    case Shape::wsd:
      break;
  }
  return fall(static_cast<double>(t - (steps - decay_steps)) / static_cast<double>(std::max<int64_t>(1, decay_steps)),
              min_lr_ratio, decay == Fall::cosine);
}

Pace Schedule::pace(int64_t step) const {
  const int64_t t = std::max<int64_t>(0, step - from_step);
  const int64_t begin = shape == Shape::constant          ? steps
                        : shape == Shape::wsd             ? steps - decay_steps
                        : falls_from == FallsFrom::warmup ? warmup_steps
                                                          : 0;
  auto part = [](int64_t passed, int64_t all) {
    return all <= 0 ? 0.0 : std::clamp(static_cast<double>(passed) / static_cast<double>(all), 0.0, 1.0);
  };
  Pace pace(multiplier(step));
  pace.fall = part(t - begin, steps - begin);
  pace.done = part(t, steps);
  return pace;
}

void visit(Schedule& schedule, Section& keys) {
  using Shape = Schedule::Shape;
  constexpr int64_t most = int64_t{1} << 40;
  keys.choice({.name = "name", .help = "`constant`, `cosine`, `linear` or `wsd` (warm-up, stable, decay)"},
              schedule.shape);
  keys.integer<0, most>(
      {.name = "from_step",
       .help = "step of the run at which this schedule starts; for a new schedule in a run that is continued"},
      schedule.from_step);
  if (keys.reading()) schedule.steps = std::max<int64_t>(0, schedule.steps - schedule.from_step);
  int64_t warmup = std::max(schedule.warmup_steps, schedule.asked_warmup_steps);
  keys.integer<0, most>({.name = "warmup_steps",
                         .help = "steps over which the rate rises; if the schedule has fewer steps, a tenth of them"},
                        warmup);
  if (keys.reading()) set_warmup(schedule, warmup);
  const bool wsd = schedule.shape == Shape::wsd;
  keys.when(schedule.shape != Shape::constant, [&] {
    if (keys.reading()) schedule.min_lr_ratio = wsd ? 0 : 0.1;
    keys.number({.name = "min_lr_ratio",
                 .help = "the rate at the end, as a fraction of `lr`; `constant` has none",
                 .absent = "0.1; 0 for `wsd`"},
                schedule.min_lr_ratio, 0, 1);
  });
  keys.when(schedule.shape == Shape::cosine || schedule.shape == Shape::linear, [&] {
    keys.choice(
        {.name = "falls_from",
         .help =
             "`cosine` and `linear`: whether the fall is counted from the end of the warm-up or from the first step"},
        schedule.falls_from);
  });
  keys.when(wsd, [&] {
    int64_t decay = std::max(schedule.decay_steps, schedule.asked_decay_steps);
    if (keys.reading()) decay = (schedule.steps - schedule.warmup_steps) / 10;
    keys.integer<0, most>({.name = "decay_steps",
                           .help = "`wsd`: number of last steps in which the rate falls",
                           .absent = "a tenth of the steps after the warm-up"},
                          decay);
    if (keys.reading()) set_decay(schedule, decay);
    keys.choice({.name = "decay", .help = "`wsd`: shape of the fall"}, schedule.decay);
  });
}

Schedule parse_schedule(JsonObject object, int64_t steps) {
  Schedule schedule;
  if (steps == 0) steps = Switches::most_steps;
  schedule.steps = steps;
  read_keys(object, [&](Section& keys) { visit(schedule, keys); });
  if (schedule.from_step >= steps)
    object.fail("from_step",
                fmt::format("found {}, expected less than {}, the steps of the run", schedule.from_step, steps));
  check_shape(object, schedule);
  object.finish();
  return schedule;
}

Json to_json(Schedule schedule) {
  return write_keys([&](Section& keys) { visit(schedule, keys); });
}

}  // namespace rowan

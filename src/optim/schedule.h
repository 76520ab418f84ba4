// The learning-rate schedule: a multiplier of peak rates.
//
// "schedule": {"name": "constant"|"cosine"|"linear"|"wsd", "from_step": N, "warmup_steps": N,
//   except for constant: "min_lr_ratio": R,
//   for cosine and linear: "falls_from": "warmup"|"start",
//   for wsd: "decay_steps": N, "decay": "linear"|"cosine"}
#pragma once

#include "base/section.h"

namespace rowan {

// What a schedule says about one step.
struct Pace {
  double rate = 1;  // multiplies the peak rate
  double fall = 0;  // fraction of the rate's decay that is done
  double done = 0;  // fraction of the schedule's steps that is done

  Pace() = default;
  Pace(double rate) : rate(rate) {}
};

struct Schedule {
  enum class Shape : uint8_t { constant, cosine, linear, wsd };
  enum class Fall : uint8_t { linear, cosine };
  enum class FallsFrom : uint8_t { warmup, start };
  Shape shape = Shape::cosine;
  int64_t from_step = 0;  // step of the run at which this schedule begins
  int64_t steps = 0;      // number of steps from from_step to the end of the run
  int64_t warmup_steps = 0;
  int64_t asked_warmup_steps = 0;  // the requested warm-up, if it is longer than `steps` and was shortened; else 0
  double min_lr_ratio = 0.1;
  FallsFrom falls_from = FallsFrom::warmup;  // shapes cosine and linear: where the decay begins
  int64_t decay_steps = 0;                   // shape wsd: number of last steps of the run, in which the rate falls
  int64_t asked_decay_steps = 0;  // the requested decay, if it did not fit after the warm-up and was shortened; else 0
  Fall decay = Fall::linear;      // shape wsd: linear or cosine decay

  // The multiplier at step `step` (from 0). Let t = max(0, step - from_step). During warm-up, the multiplier is
  // t / warmup_steps, which is 0 at t = 0. After warm-up, `constant` stays at 1. The progress of `cosine` and `linear`
  // is (t - warmup_steps) / (steps - warmup_steps), or t / steps if falls_from is `start`. `wsd` decays over the last
  // decay_steps steps. Every decay ends with min_lr_ratio at t = steps, one step after the last.
  double multiplier(int64_t step) const;
  Pace pace(int64_t step) const;
};

constexpr auto names_of(Schedule::Shape) { return enum_names("constant", "cosine", "linear", "wsd"); }
constexpr auto names_of(Schedule::Fall) { return enum_names("linear", "cosine"); }
constexpr auto names_of(Schedule::FallsFrom) { return enum_names("warmup", "start"); }

// `steps` is the length of the run; a warm-up or decay that does not fit is shortened. A run of 0 steps uses no
// schedule, so one that is meant for a longer run is no error. Throws Error naming the field.
Schedule parse_schedule(JsonObject object, int64_t steps);
void visit(Schedule& schedule, Section& keys);
Json to_json(Schedule schedule);

}  // namespace rowan

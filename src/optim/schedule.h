// The learning rate's course: a multiplier of every group's peak.
//
// "schedule": {"name": "constant"|"cosine"|"linear"|"wsd", "warmup_steps": N, "min_lr_ratio": R,
//   "from_step": N, for cosine and linear "falls_from": "warmup"|"start", for wsd "decay_steps": N, "decay":
//   "linear"|"cosine"}
#pragma once

#include "base/section.h"

namespace rowan {

// Where a run stands at a step.
struct Pace {
  double rate = 1;  // multiplies every group's peak
  double fall = 0;  // part of the rate's fall that is done
  double done = 0;  // part of the run that is done

  Pace() = default;
  // A rate alone.
  Pace(double rate) : rate(rate) {}
};

struct Schedule {
  enum class Shape : uint8_t { constant, cosine, linear, wsd };
  enum class Fall : uint8_t { linear, cosine };
  enum class FallsFrom : uint8_t { warmup, start };
  Shape shape = Shape::cosine;
  int64_t from_step = 0;  // of the run, where this schedule begins
  int64_t steps = 0;      // from there to the end of the run
  int64_t warmup_steps = 0;
  int64_t asked_warmup_steps = 0;  // where it was longer than the run and became a tenth of it
  double min_lr_ratio = 0.1;
  FallsFrom falls_from = FallsFrom::warmup;  // cosine and linear
  int64_t decay_steps = 0;                   // wsd: the last steps, over which the peak falls to min_lr_ratio
  int64_t asked_decay_steps = 0;             // where it did not fit into the run and became what the warm-up leaves
  Fall decay = Fall::linear;                 // wsd: along a line or a cosine

  // At 0-based step from_step + t: t / warmup while warming up (0 at the first step), then the shape over
  // (t - warmup) / (steps - warmup), or over t / steps where it falls from the start; it would reach min_lr_ratio at
  // t = steps.
  double multiplier(int64_t step) const;
  Pace pace(int64_t step) const;
};

constexpr auto names_of(Schedule::Shape) { return enum_names("constant", "cosine", "linear", "wsd"); }
constexpr auto names_of(Schedule::Fall) { return enum_names("linear", "cosine"); }
constexpr auto names_of(Schedule::FallsFrom) { return enum_names("warmup", "start"); }

// `steps` is that of the run; a warm-up or decay that does not fit into it is shortened. Throws Error naming the field.
Schedule parse_schedule(JsonObject object, int64_t steps);
void visit(Schedule& schedule, Section& keys);
Json to_json(Schedule schedule);

}  // namespace rowan

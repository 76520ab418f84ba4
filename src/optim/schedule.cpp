#include "optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "base/error.h"

namespace rowan {
namespace {

const std::vector<std::string> shapes = {"constant", "cosine", "linear", "wsd"};

// From 1 at 0 to `floor` at 1.
double fall(double progress, double floor, bool cosine) {
  progress = std::clamp(progress, 0.0, 1.0);
  const double left = cosine ? 0.5 * (1 + std::cos(std::numbers::pi * progress)) : 1 - progress;
  return floor + (1 - floor) * left;
}

}  // namespace

double Schedule::multiplier(int64_t t) const {
  if (t < warmup_steps) return static_cast<double>(t) / static_cast<double>(warmup_steps);
  const double length = static_cast<double>(std::max<int64_t>(1, steps - warmup_steps));
  switch (shape) {
    case Shape::constant:
      return 1;
    case Shape::cosine:
      return fall(static_cast<double>(t - warmup_steps) / length, min_lr_ratio, true);
    case Shape::linear:
      return fall(static_cast<double>(t - warmup_steps) / length, min_lr_ratio, false);
    case Shape::wsd:
      break;
  }
  return fall(static_cast<double>(t - (steps - decay_steps)) / static_cast<double>(std::max<int64_t>(1, decay_steps)),
              min_lr_ratio, cosine_decay);
}

Pace Schedule::pace(int64_t t) const {
  const int64_t begin = shape == Shape::constant ? steps : shape == Shape::wsd ? steps - decay_steps : warmup_steps;
  auto part = [](int64_t passed, int64_t all) {
    return all <= 0 ? 0.0 : std::clamp(static_cast<double>(passed) / static_cast<double>(all), 0.0, 1.0);
  };
  Pace pace(multiplier(t));
  pace.fall = part(t - begin, steps - begin);
  pace.done = part(t, steps);
  return pace;
}

Schedule parse_schedule(JsonObject object, int64_t steps) {
  Schedule schedule;
  schedule.steps = steps;
  const std::string name = object.choice("name", shapes, std::string("cosine"));
  schedule.shape = static_cast<Schedule::Shape>(std::find(shapes.begin(), shapes.end(), name) - shapes.begin());
  schedule.warmup_steps = object.integer("warmup_steps", 0, 0, int64_t{1} << 40);
  if (schedule.warmup_steps > steps)  // a run cut short to try something
    schedule.asked_warmup_steps = std::exchange(schedule.warmup_steps, std::max<int64_t>(1, steps / 10));
  if (schedule.shape != Schedule::Shape::constant)
    schedule.min_lr_ratio = object.number("min_lr_ratio", schedule.shape == Schedule::Shape::wsd ? 0.0 : 0.1, 0, 1);
  if (schedule.shape == Schedule::Shape::wsd) {
    schedule.decay_steps = object.integer("decay_steps", (steps - schedule.warmup_steps) / 10, 0, steps);
    if (schedule.warmup_steps + schedule.decay_steps > steps)
      object.fail("decay_steps", fmt::format("{} decay steps after {} of warm-up do not fit into {} steps",
                                             schedule.decay_steps, schedule.warmup_steps, steps));
    schedule.cosine_decay = object.choice("decay", {"linear", "cosine"}, std::string("linear")) == "cosine";
  }
  object.finish();
  return schedule;
}

Json to_json(const Schedule& schedule) {
  Json json;
  json["name"] = shapes[static_cast<size_t>(schedule.shape)];
  json["warmup_steps"] = std::max(schedule.warmup_steps, schedule.asked_warmup_steps);
  if (schedule.shape != Schedule::Shape::constant) json["min_lr_ratio"] = schedule.min_lr_ratio;
  if (schedule.shape == Schedule::Shape::wsd) {
    json["decay_steps"] = schedule.decay_steps;
    json["decay"] = schedule.cosine_decay ? "cosine" : "linear";
  }
  return json;
}

}  // namespace rowan

// The factor of the step for each matrix: shape_scale and radius.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/backend.h"
#include "optim/stages.h"

namespace rowan {
namespace {

bool has_scale(const Recipe& r) {
  return r.shape_scale == ShapeScale::moonlight || r.shape_scale == ShapeScale::axis ||
         r.shape_scale == ShapeScale::rms;
}

void switches(Recipe& r, Switches& s) {
  s.choice("shape_scale", r.shape_scale);
  s.when(has_scale(r), "only shape_scale moonlight, axis and rms read it",
         [&] { s.number("scale", r.scale, Switches::tiny, 1e6); });
  s.number("radius", r.radius, Switches::tiny, 1e9);
  s.choice("direction_precision", r.direction_precision);
}

// Scales the update to the norm that shape_scale rms gives it, unless NorMuon's factors already do so. The direction
// stage computes the factor of shape_scale nuclear. The factors of the other choices depend only on shape and step, and
// Optimizer::step() stores them in the slots.
void run(StageRun& x) {
  if (x.recipe.shape_scale != ShapeScale::rms || !x.factors.empty()) return;
  NormalizeRule rule;
  rule.matrix = true;
  rule.eps = static_cast<float>(x.recipe.adapt_eps);
  rule.target = rms_norm(x.recipe, x.rows(), x.cols());
  x.backend.normalize(x.update, rule);
}

void check(const Recipe& r, const Refuse& refuse) {
  if (r.shape_scale == ShapeScale::rms && r.scales_rate())
    refuse("shape_scale", "rms conflicts with adapt matrix and column, which choose the norm themselves");
  if (r.shape_scale == ShapeScale::nuclear && (r.direction == Direction::none || r.adapt != Adapt::none))
    refuse("shape_scale",
           "nuclear needs a direction and conflicts with adapt, because its factor is <momentum, direction>");
  if (r.shape_scale == ShapeScale::axis && !r.normalizes_axis())
    refuse("shape_scale", "axis needs a direction that normalizes rows or columns");
}

}  // namespace

float shape_factor(const Recipe& recipe, int64_t out, int64_t in, int64_t t) {
  const double rows = static_cast<double>(out), cols = static_cast<double>(in);
  auto by_shape = [&] {
    switch (recipe.shape_scale) {
      case ShapeScale::none:
      case ShapeScale::rms:
      case ShapeScale::nuclear:
        break;
      case ShapeScale::keller:
        return std::sqrt(std::max(1.0, rows / cols));
      case ShapeScale::moonlight:
        return recipe.scale * std::sqrt(std::max(rows, cols));
      case ShapeScale::axis:
        return recipe.scale * std::sqrt(axis_of(recipe, t) == Along::row ? cols : rows);
      case ShapeScale::ratio:
        return std::sqrt(rows / cols);
      case ShapeScale::mean_dimension:
        return 2 / (rows + cols);
      case ShapeScale::inputs:
        return 1 / cols;
    }
    return 1.0;
  };
  return static_cast<float>(recipe.radius * by_shape());
}

float rms_norm(const Recipe& recipe, int64_t rows, int64_t cols) {
  return static_cast<float>(recipe.scale * std::sqrt(static_cast<double>(rows * cols)));
}

const Stage scale_stage = {
    .name = "shape scale",
    .switches = switches,
    .on = [](const Recipe& r) { return r.shape_scale != ShapeScale::none || r.radius != 1; },
    .atom =
        [](const Recipe& r) {
          return r.shape_scale == ShapeScale::rms || r.shape_scale == ShapeScale::nuclear ? Atom::matrix
                                                                                          : Atom::element;
        },
    .run = run,
    .describe =
        [](const Recipe& r) {
          return fmt::format("scale {}{}", std::string(name_of(r.shape_scale)),
                             r.radius == 1 ? "" : fmt::format(" times {}", r.radius));
        },
    .check = check,
    .fuses = [](const Recipe& r) { return r.shape_scale != ShapeScale::rms && r.shape_scale != ShapeScale::nuclear; }};

}  // namespace rowan

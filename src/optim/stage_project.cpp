// Projects each row or column of the update: subtracts its component along the same row or column of the weights. With
// raw_weights, the row or column of the weights is not normalized first.
#include "kernels/backend.h"
#include "optim/stages.h"

namespace rowan {
namespace {

void switches(Recipe& r, Switches& s) {
  s.choice("project", r.project);
  s.when(r.project != Project::none, "project is none", [&] { s.flag("raw_weights", r.raw_weights); });
}

void run(StageRun& x) {
  ProjectRule rule;
  rule.raw = x.recipe.raw_weights;
  rule.eps = static_cast<float>(x.recipe.eps);
  auto along = [&](Along axis) {
    rule.along = axis;
    x.backend.project(x.update, x.slots, rule);
  };
  const Along turn = alternating_axis(x.now.t);
  switch (x.recipe.project) {
    case Project::none:
      break;
    case Project::rows:
      return along(Along::row);
    case Project::columns:
      return along(Along::column);
    case Project::both:
      along(other_axis(turn));
      return along(turn);
    case Project::alternate:
      return along(turn);
  }
}

}  // namespace

const Stage project_stage = {
    .name = "project",
    .switches = switches,
    .on = [](const Recipe& r) { return r.project != Project::none; },
    .atom = [](const Recipe& r) { return r.project == Project::rows ? Atom::row : Atom::matrix; },
    .run = run,
    .describe = [](const Recipe& r) { return "project " + std::string(name_of(r.project)); },
    .check =
        [](const Recipe& r, const Refuse& refuse) {
          if (r.project == Project::alternate && r.normalizes_axis() && r.direction != Direction::alternate_axis &&
              r.direction != Direction::both_axes)
            refuse("project",
                   "alternate conflicts with a direction of one fixed axis, which would undo every other projection");
        },
    .fuses =
        [](const Recipe& r) {
          return r.project == Project::alternate ||
                 (r.project == Project::rows && r.direction == Direction::row_normalize) ||
                 (r.project == Project::columns && r.direction == Direction::column_normalize);
        }};

}  // namespace rowan

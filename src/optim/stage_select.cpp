// Dion2 (arXiv 2512.16928): a step uses only the rows of the update with the largest sums of magnitudes. If the matrix
// has fewer columns than rows, columns take the place of rows. Only the selected rows of the momentum buffer are
// multiplied by select_decay.
#include <fmt/format.h>

#include <cmath>

#include "kernels/backend.h"
#include "optim/stages.h"

namespace rowan {
namespace {

void run(StageRun& x) {
  const int64_t side = std::min(x.rows(), x.cols());
  LargestRule rule;
  rule.along = x.rows() <= x.cols() ? Along::row : Along::column;
  rule.count = static_cast<int64_t>(std::ceil(x.recipe.select_fraction * static_cast<double>(side)));
  rule.decay = static_cast<float>(x.recipe.select_decay);
  x.backend.keep_largest(x.update, x.slots, rule);
}

}  // namespace

const Stage select_stage = {
    .name = "select",
    .switches =
        [](Recipe& r, Switches& s) {
          s.set("select_fraction", r.select_fraction, Switches::tiny, 1);
          s.when(r.select_fraction > 0, "select_fraction is off", [&] {
            s.when(r.form != Form::none, "form none has no momentum buffer",
                   [&] { s.number("select_decay", r.select_decay, 0, 1); });
          });
        },
    .on = [](const Recipe& r) { return r.select_fraction > 0; },
    .atom = [](const Recipe&) { return Atom::matrix; },
    .run = run,
    .describe = [](const Recipe& r) { return fmt::format("select {} of the shorter side", r.select_fraction); }};

}  // namespace rowan

// Balances the norms of rows or columns, or takes signs, before the direction is computed.
#include <cmath>

#include "kernels/backend.h"
#include "optim/stages.h"

namespace rowan {
namespace {

void switches(Recipe& r, Switches& s) {
  s.choice("equilibrate", r.equilibrate);
  const bool norms = r.equilibrate != Equilibrate::none && r.equilibrate != Equilibrate::sign;
  s.when(norms, "equilibrate is none or sign", [&] { s.number("equilibrate_eps", r.equilibrate_eps, 0, 1); });
  s.when(norms && r.equilibrate != Equilibrate::row_mean, "equilibrate is none, sign or row_mean", [&] {
    s.number("equilibrate_exponent", r.equilibrate_exponent, -2, 2);
    s.set("equilibrate_clip", r.equilibrate_clip, 1, 1e30);
  });
  s.when(r.equilibrate == Equilibrate::row_column, "only equilibrate row_column reads it",
         [&] { s.set("phase", r.phase, 1, Switches::most_steps); });
}

// Gives every row the same norm, the root mean square of the old row norms. Rows shorter than equilibrate_eps stay
// shorter.
void to_mean(StageRun& x) {
  Tensor by_row = x.sums(0, x.rows()), size = x.sums(static_cast<int>(x.rows()), 1);
  const float eps = static_cast<float>(x.recipe.equilibrate_eps);
  x.backend.sums_of_squares(by_row, x.matrices(), Along::row, 1);
  x.backend.sums_of_squares(size, x.matrices(), Along::matrix, 1);
  x.backend.power(by_row, {1, eps * eps, -0.5f});
  x.backend.power(size, {static_cast<float>(1 / std::sqrt(static_cast<double>(x.rows()))), 0, 0.5f});
  x.backend.scale_along(x.update, by_row, Along::row);
  x.backend.scale_along(x.update, size, Along::matrix);
}

void run(StageRun& x) {
  const Recipe& r = x.recipe;
  if (r.equilibrate == Equilibrate::row_mean) return to_mean(x);
  if (r.equilibrate == Equilibrate::sign) return x.backend.sign(x.update);
  NormalizeRule rule;
  rule.rows = r.equilibrate != Equilibrate::column;
  rule.columns = r.equilibrate == Equilibrate::column ||
                 (r.equilibrate == Equilibrate::row_column && (r.phase == 0 || x.now.t < r.phase));
  rule.exponent = static_cast<float>(r.equilibrate_exponent);
  rule.eps = static_cast<float>(r.equilibrate_eps);
  rule.eps_mode = Eps::inside;
  rule.clip = static_cast<float>(r.equilibrate_clip);
  x.backend.normalize(x.update, rule);
}

}  // namespace

const Stage equilibrate_stage = {
    .name = "equilibrate",
    .switches = switches,
    .on = [](const Recipe& r) { return r.equilibrate != Equilibrate::none; },
    .atom =
        [](const Recipe& r) {
          return r.equilibrate == Equilibrate::sign  ? Atom::element
                 : r.equilibrate == Equilibrate::row ? Atom::row
                                                     : Atom::matrix;
        },
    .run = run,
    .describe = [](const Recipe& r) { return "equilibrate " + std::string(name_of(r.equilibrate)); },
    .workspace =
        [](const Recipe& r, int64_t n, int64_t rows, int64_t, WorkspaceSize& size) {
          size.sums_for(r.equilibrate == Equilibrate::row_mean ? n * (rows + 1) : 0);
        }};

}  // namespace rowan

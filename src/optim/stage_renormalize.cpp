// Renormalizes rows, columns or matrices after the direction (Muon+).
#include <cmath>

#include "kernels/backend.h"
#include "optim/stages.h"

namespace rowan {
namespace {

void run(StageRun& x) {
  NormalizeRule rule;
  rule.eps = static_cast<float>(x.recipe.renormalize_eps);
  if (x.recipe.renormalize == Renormalize::frobenius) {  // to the norm of a semi-orthogonal matrix of this shape
    rule.matrix = true;
    rule.eps_mode = Eps::clamp;
    rule.target = static_cast<float>(std::sqrt(static_cast<double>(std::min(x.rows(), x.cols()))));
    return x.backend.normalize(x.update, rule);
  }
  rule.eps_mode = Eps::inside;
  auto along = [&](Along axis) {
    rule.rows = axis == Along::row;
    rule.columns = axis == Along::column;
    x.backend.normalize(x.update, rule);
  };
  const Renormalize which = x.recipe.renormalize;
  if (which == Renormalize::row || which == Renormalize::row_column) along(Along::row);
  if (which != Renormalize::row) along(Along::column);
  if (which == Renormalize::column_row) along(Along::row);
}

}  // namespace

const Stage renormalize_stage = {
    .name = "renormalize",
    .switches =
        [](Recipe& r, Switches& s) {
          s.choice("renormalize", r.renormalize);
          s.when(r.renormalize != Renormalize::none, "renormalize is none",
                 [&] { s.number("renormalize_eps", r.renormalize_eps, Switches::tiny, 1); });
        },
    .on = [](const Recipe& r) { return r.renormalize != Renormalize::none; },
    .atom = [](const Recipe& r) { return r.renormalize == Renormalize::row ? Atom::row : Atom::matrix; },
    .run = run,
    .describe = [](const Recipe& r) { return "renormalize " + std::string(name_of(r.renormalize)); }};

}  // namespace rowan

// Norms of rows and columns after the direction (Muon+).
#include "optim/stages.h"

namespace rowan {
namespace {

const Names choices = {"none", "row", "column", "column_row"};

void run(StageRun& x) {
  NormalizeRule rule;
  rule.eps = 1e-8f;
  rule.eps_mode = Eps::inside;
  if (x.recipe.renormalize != Renormalize::row) {
    rule.columns = true;
    x.backend.normalize(x.update, rule);
  }
  if (x.recipe.renormalize != Renormalize::column) {
    rule.columns = false;
    rule.rows = true;
    x.backend.normalize(x.update, rule);
  }
}

}  // namespace

const Stage renormalize_stage = {
    .name = "renormalize",
    .switches = [](Recipe& r, Switches& s) { s.choice("renormalize", r.renormalize, choices); },
    .on = [](const Recipe& r) { return r.renormalize != Renormalize::none; },
    .atom = [](const Recipe& r) { return r.renormalize == Renormalize::row ? Atom::row : Atom::matrix; },
    .run = run,
    .describe = [](const Recipe& r) { return "renormalize " + choices[static_cast<size_t>(r.renormalize)]; }};

}  // namespace rowan

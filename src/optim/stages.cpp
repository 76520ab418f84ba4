#include "optim/stages.h"

#include <algorithm>

namespace rowan {

std::vector<Tensor> StageRun::matrices() const {
  std::vector<Tensor> matrices;
  for (int64_t i = 0; i < n(); ++i) matrices.push_back(update.at(i));
  return matrices;
}

Tensor StageRun::sums(int i, int64_t k) const { return workspace.sums.slice(i * n() * k, n() * k).view({n(), k}); }

WorkspaceSize workspace_size(const Recipe& recipe, int64_t n, int64_t rows, int64_t cols) {
  WorkspaceSize size;
  size.update = n * rows * cols;
  if (recipe.mars_gamma > 0) size.sums = 3 * n;
  if (recipe.adamw) return size;
  for (const Stage* stage : stages)
    if (stage->workspace && stage->on(recipe)) stage->workspace(recipe, n, rows, cols, size);
  return size;
}

void run_stages(Backend& backend, const Recipe& recipe, const Moment& now, const Slots& slots, int64_t rows,
                int64_t cols, Workspace& workspace) {
  const int64_t n = static_cast<int64_t>(slots.size());
  Tensor update = workspace.update.slice(0, n * rows * cols).view({n, rows, cols});
  StageRun run{backend, recipe, now, slots, workspace, update, {}};
  for (const Stage* stage : stages)
    if (stage->on(recipe)) stage->run(run);
}

Atom Recipe::atom() const {
  Atom coarsest = Atom::element;
  if (adamw) return coarsest;
  for (const Stage* stage : stages)
    if (stage->on(*this)) coarsest = std::max(coarsest, stage->atom(*this));
  return coarsest;
}

bool Recipe::fused() const {
  return !adamw && normalizes_axis() && std::all_of(std::begin(stages), std::end(stages), [&](const Stage* stage) {
    return !stage->on(*this) || (stage->fuses && stage->fuses(*this));
  });
}

}  // namespace rowan

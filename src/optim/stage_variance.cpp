// MARS (arXiv 2411.10438, 2510.21800): replaces each gradient g by c = g + k (g - previous), where `previous` is the
// gradient of the last step and k = gamma momentum / (1 - momentum). Each matrix c is clipped to Frobenius norm 1.
#include <fmt/format.h>

#include "kernels/backend.h"
#include "optim/stages.h"

namespace rowan {
namespace {

void run(StageRun& x) {
  const float k = mars_weight(x.recipe.mars_gamma, x.recipe.momentum);
  Tensor corrected = x.part(x.workspace.gradients);
  x.backend.momentum(corrected, x.with("previous_gradient"), {0, 1, -k, 1 + k, true, x.now.grad_scale});
  NormalizeRule clip;
  clip.matrix = true;
  clip.eps = 1;
  clip.eps_mode = Eps::clamp;
  x.backend.normalize(corrected, clip);
  x.take_gradients(corrected);
}

}  // namespace

const Stage variance_stage = {
    .name = "variance reduction",
    .switches = [](Recipe& r, Switches& s) { s.set("mars_gamma", r.mars_gamma, Switches::tiny, 1); },
    .on = [](const Recipe& r) { return r.mars_gamma > 0; },
    .atom = [](const Recipe&) { return Atom::matrix; },
    .run = run,
    .describe = [](const Recipe& r) { return fmt::format("mars gamma {}", r.mars_gamma); },
    .check =
        [](const Recipe& r, const Refuse& refuse) {
          if (r.mars_gamma > 0 && (r.form == Form::sum || r.form == Form::none))
            refuse("mars_gamma", "needs a form with momentum, because it is multiplied by momentum / (1 - momentum)");
          if (r.mars_gamma > 0 && r.magnitudes != Magnitudes::none)
            refuse("mars_gamma", "conflicts with magnitudes, which make gradients of their own");
        },
    .workspace = [](const Recipe&, int64_t n, int64_t rows, int64_t cols,
                    WorkspaceSize& size) { size.gradients = n * rows * cols; },
    .state = [](const Recipe&, int64_t, int64_t,
                std::vector<StateSpec>& specs) { specs.push_back({"previous_gradient"}); }};

}  // namespace rowan

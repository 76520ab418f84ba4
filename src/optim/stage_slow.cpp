// AdEMAMix (arXiv 2409.03137): a second, slow average of gradients in addition to the first.
#include <fmt/format.h>

#include <cmath>

#include "kernels/backend.h"
#include "optim/stages.h"

namespace rowan {
namespace {

bool on(const Recipe& r) { return r.slow_beta > 0; }

void switches(Recipe& r, Switches& s) {
  s.set("slow_beta", r.slow_beta, Switches::tiny, 0.9999999);
  s.when(on(r), "slow_beta is off", [&] {
    s.number("slow_alpha", r.slow_alpha, 0, 1e6);
    s.set("slow_alpha_warmup", r.slow_alpha_warmup, 1, Switches::most_steps);
    s.set("slow_beta_warmup", r.slow_beta_warmup, 1, Switches::most_steps);
  });
}

// The coefficient of the slow average at step t. The half-life of the slow average grows linearly from the half-life of
// `momentum` to that of `slow_beta`, over slow_beta_warmup steps.
double coefficient(const Recipe& r, double t) {
  if (r.slow_beta_warmup == 0 || t >= static_cast<double>(r.slow_beta_warmup)) return r.slow_beta;
  auto half_life = [](double beta) { return std::log(0.5) / std::log(beta + 1e-8) - 1; };
  const double part = t / static_cast<double>(r.slow_beta_warmup);
  const double steps = (1 - part) * half_life(r.momentum) + part * half_life(r.slow_beta);
  return std::pow(0.5, 1 / (steps + 1));
}

void run(StageRun& x) {
  const double t = static_cast<double>(x.now.t), beta = coefficient(x.recipe, t);
  const double part =
      x.recipe.slow_alpha_warmup ? std::min(1.0, t / static_cast<double>(x.recipe.slow_alpha_warmup)) : 1;
  MomentumRule rule{};
  rule.keep = static_cast<float>(beta);
  rule.take = static_cast<float>(1 - beta);
  rule.from_buffer = static_cast<float>(x.recipe.slow_alpha * part);
  rule.grad_scale = x.now.grad_scale;
  Tensor slow = x.part(x.workspace.kept);
  x.backend.momentum(slow, x.with("slow_momentum"), rule);
  x.backend.add(x.update, slow);
}

}  // namespace

const Stage slow_stage = {
    .name = "slow average",
    .switches = switches,
    .on = on,
    .atom = [](const Recipe&) { return Atom::element; },
    .run = run,
    .describe = [](const Recipe& r) { return fmt::format("slow ema {} times {}", r.slow_beta, r.slow_alpha); },
    .check =
        [](const Recipe& r, const Refuse& refuse) {
          if (on(r) && r.slow_beta_warmup > 0 && (r.form == Form::sum || r.form == Form::none))
            refuse("slow_beta_warmup", "needs a form with momentum, from whose coefficient it rises");
          if (on(r) && r.slow_alpha == 0)
            refuse("slow_alpha", "found 0, expected more than 0: without a weight the slow average has no effect");
        },
    .workspace = [](const Recipe&, int64_t n, int64_t rows, int64_t cols,
                    WorkspaceSize& size) { size.kept = std::max(size.kept, n * rows * cols); },
    .state = [](const Recipe&, int64_t, int64_t,
                std::vector<StateSpec>& specs) { specs.push_back({"slow_momentum"}); }};

}  // namespace rowan

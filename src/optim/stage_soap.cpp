// SOAP (arXiv 2409.11321) and its relatives: second moments in the eigenbasis of Shampoo's factors, L for rows and R
// for columns. KL-Shampoo and KL-SOAP (arXiv 2509.03378) weight the gradients in each factor by the inverse of the
// other factor. KL-Shampoo uses the eigenvalues of both factors in place of second moments. SOAP-Muon takes second
// moments of the update, and a direction stage processes the result. The momentum buffer stays in the parameter's own
// space. This is equivalent to a buffer in the eigenbasis that is rotated whenever the basis changes.
#include <fmt/format.h>

#include <cmath>

#include "kernels/backend.h"
#include "optim/eigenbasis.h"
#include "optim/stages.h"

namespace rowan {

using namespace eigenbasis;

namespace {

float f(double x) { return static_cast<float>(x); }

bool on(const Recipe& r) { return r.precondition != Precondition::none; }
bool is_kl(const Recipe& r) {
  return r.precondition == Precondition::kl_soap || r.precondition == Precondition::kl_shampoo;
}
bool scales(const Recipe& r) { return is_kl(r) || r.kl_factors; }
bool moments(const Recipe& r) { return r.precondition != Precondition::kl_shampoo; }
// Whether second moments are reordered together with the columns of the basis.
bool sorts(const Recipe& r) {
  return r.precondition == Precondition::soap_momentum ||
         (r.precondition == Precondition::soap && r.precondition_order == PreconditionOrder::after);
}
// Whether the bases move in every step. The order `before` follows NVIDIA's code, which has no precondition_frequency.
bool in_every_step(const Recipe& r) {
  return r.precondition == Precondition::soap && r.precondition_order == PreconditionOrder::before;
}
bool corrects(const Recipe& r) { return r.precondition == Precondition::soap && r.correct_bias; }
double coefficient(const Recipe& r) { return r.shampoo_beta > 0 ? r.shampoo_beta : r.beta2; }

void switches(Recipe& r, Switches& s) {
  s.choice("precondition", r.precondition);
  s.when(on(r), "precondition is none", [&] {
    s.number("beta2", r.beta2, 0, 0.9999999);
    s.set("shampoo_beta", r.shampoo_beta, Switches::tiny, 0.9999999);
    s.integer("max_precond_dim", r.max_precond_dim, 1, Switches::most_steps);
    s.flag("one_sided", r.one_sided);
    s.choice("precondition_state", r.precondition_state);
    s.number("precondition_eps", r.precondition_eps, Switches::tiny, 1);
    s.flag("decay_last", r.decay_last);
  });
  s.when(r.precondition == Precondition::soap, "only precondition soap reads it", [&] {
    s.choice("precondition_order", r.precondition_order);
    s.when(in_every_step(r), "only precondition_order before reads it", [&] { s.choice("basis", r.basis); });
    s.flag("kl_factors", r.kl_factors);
    s.flag("correct_bias", r.correct_bias);
  });
  s.when(on(r), "precondition is none", [&] {
    s.when(!in_every_step(r), "precondition_order before moves the bases in every step",
           [&] { s.integer("precondition_frequency", r.precondition_frequency, 1, Switches::most_steps); });
  });
  s.when(r.precondition == Precondition::soap || r.precondition == Precondition::soap_momentum,
         "only precondition soap and soap_momentum read it", [&] { s.flag("normalize_update", r.normalize_update); });
  s.when(is_kl(r), "only precondition kl_soap and kl_shampoo read it", [&] {
    s.number("init_factor", r.init_factor, Switches::tiny, 1e6);
    s.set("max_inverse_root", r.max_inverse_root, Switches::tiny, 1e9);
    s.flag("whole_first_factor", r.whole_first_factor);
  });
}

// Divides the rotated update by the roots of second moments, as Adam does. These are moments of the rotated gradient
// or, for soap_momentum, of the rotated update.
void adam_in_basis(StageRun& x, double root_scale) {
  SecondMomentRule rule;
  rule.second = x.recipe.beta2;
  rule.eps = f(x.recipe.precondition_eps);
  rule.root_scale = f(root_scale);
  rule.of_gradient = x.recipe.precondition != Precondition::soap_momentum;
  Slots slots = x.with(nullptr, "basis_second_moment");
  for (size_t i = 0; i < slots.size(); ++i)
    slots[i].gradient = x.part(x.workspace.projected).at(static_cast<int64_t>(i));
  x.backend.second_moment(x.update, slots, rule);
}

// KL-Shampoo: multiplies the update by d / (1 + eps d), where d = (e_L e_R)^(-1/2) and e_L and e_R are the eigenvalues
// of the two sides. least() limits the factor of each side.
void divide_by_scales(const Matrix& m) {
  Backend& backend = m.x.backend;
  Tensor u = m.x.update.at(m.i).view({1, m.rows, m.cols});
  Tensor left = m.inverse_roots(m.left, 0), right = m.inverse_roots(m.right, 1);
  backend.scale_along(u, left, Along::row);
  backend.scale_along(u, right, Along::column);
  backend.power(left, {1, 0, 2});
  backend.power(right, {1, 0, 2});
  backend.matmul(m.spare, left.view({m.rows, 1}), right);  // d^2
  SecondMomentRule rule;
  rule.second = 1;  // `second` stays d^2
  rule.of_gradient = true;
  rule.grad_scale = 0;
  rule.root_scale = f(m.x.recipe.precondition_eps);
  rule.eps = 1;
  OptimizerSlot slot = m.x.slots[static_cast<size_t>(m.i)];
  slot.gradient = m.projected;
  slot.second = m.spare;
  backend.second_moment(u, {slot}, rule);
}

void start(const Matrix& m) {
  const Recipe& r = m.x.recipe;
  const double b = coefficient(r), share = is_kl(r) && r.whole_first_factor ? 1 : 1 - b;
  for (const Side* side : {&m.left, &m.right}) {
    if (!*side) continue;
    const double width = static_cast<double>(side->left ? m.cols : m.rows);
    m.add_gradient(*side, *side, false, 0, is_kl(r) ? share / width : share);
    m.decompose(*side);
    if (side->scale.empty()) continue;
    m.x.backend.zero(side->scale);
    m.x.backend.power(side->scale, {f(r.init_factor), 1, 1});
  }
}

void add_factors(const Matrix& m) {
  const Recipe& r = m.x.recipe;
  const double t = static_cast<double>(m.x.now.t);
  double b = coefficient(r);
  if (r.precondition_order == PreconditionOrder::before && corrects(r)) b = 1 - (1 - b) / (1 - std::pow(b, t));
  for (const Side* side : {&m.left, &m.right}) {
    if (!*side) continue;
    double share = 1 - b;
    const bool first = r.kl_factors && m.x.now.t == 1;
    if (scales(r)) share /= static_cast<double>(side->left ? m.cols : m.rows);
    if (first) share /= r.precondition_eps;
    m.add_gradient(*side, side->left ? m.right : m.left, scales(r) && !first, b, share);
  }
}

void move_bases(const Matrix& m) {
  const Recipe& r = m.x.recipe;
  for (const Side* side : {&m.left, &m.right}) {
    if (!*side) continue;
    const Along along = side->left ? Along::row : Along::column;
    if (r.precondition_order == PreconditionOrder::before && (m.x.now.t == 1 || r.basis == Basis::eigh)) {
      m.decompose(*side);
    } else {
      if (sorts(r)) {
        Tensor keys = m.estimates(*side);
        m.sort_basis(*side, keys);
        m.x.backend.sort_along({m.moments}, keys, along);
      }
      m.move_basis(*side);
      if (r.precondition_order == PreconditionOrder::before) m.sort_basis(*side, m.estimates(*side));
    }
    if (r.kl_factors) m.x.backend.copy(side->scale, m.estimates(*side));
  }
}

void run(StageRun& x) {
  const Recipe& r = x.recipe;
  // If `late`, the first gradient initializes factors and bases and is not preconditioned.
  const bool late = r.precondition_order == PreconditionOrder::after;
  const int64_t t = x.now.t, k = late ? t - 1 : t;
  // Writes the clipped gradients to workspace.kept, in fp32.
  x.backend.momentum(x.part(x.workspace.kept), x.slots, {1, 0, 0, 1, false, x.now.grad_scale});
  std::vector<Matrix> all;
  for (int64_t i = 0; i < x.n(); ++i) all.emplace_back(x, i);
  const bool moves = k % r.precondition_frequency == 0;
  for (const Matrix& m : all) {
    if (late && t == 1) start(m);
    if (r.precondition_order == PreconditionOrder::before) add_factors(m), move_bases(m);
    if (r.precondition_order == PreconditionOrder::around) {
      add_factors(m);
      if (t == 1)
        for (const Side* side : {&m.left, &m.right})
          if (*side) m.decompose(*side);
    }
  }
  if (k == 0) return;  // the update is zero, or the unchanged momentum
  for (const Matrix& m : all) {
    m.turn(m.projected, m.gradient, false);
    m.turn(x.update.at(m.i), x.update.at(m.i), false);
  }
  const double c1 = momentum_share(r, k), c2 = 1 - std::pow(r.beta2, static_cast<double>(k));
  const bool before = r.precondition_order == PreconditionOrder::before;
  if (moments(r)) adam_in_basis(x, corrects(r) && before ? 1 / std::sqrt(c2) : 1);
  for (const Matrix& m : all) {
    if (!moments(r)) divide_by_scales(m);
    m.turn(x.update.at(m.i), x.update.at(m.i), true);
    if (late) {
      add_factors(m);
      if (is_kl(r)) m.move_scales(coefficient(r));
    }
    if (r.precondition_order != PreconditionOrder::before && moves) move_bases(m);
  }
  if (r.normalize_update) {
    NormalizeRule rule;
    rule.matrix = true;
    rule.eps = 1e-30f;
    rule.target = f(std::sqrt(static_cast<double>(x.rows() * x.cols())));
    x.backend.normalize(x.update, rule);
  }
  if (corrects(r)) x.backend.scale(x.update, f(before ? 1 / c1 : std::sqrt(c2) / c1));
}

void state(const Recipe& r, int64_t rows, int64_t cols, std::vector<StateSpec>& specs) {
  if (moments(r)) specs.push_back({"basis_second_moment"});
  const DType dtype = kept_dtype(r);
  if (has_side(r, rows, cols)) {
    specs.push_back({"left_factor", rows * rows, dtype});
    specs.push_back({"left_basis", rows * rows, dtype});
    if (scales(r)) specs.push_back({"left_scale", rows});
  }
  if (has_side(r, cols, rows)) {
    specs.push_back({"right_factor", cols * cols, dtype});
    specs.push_back({"right_basis", cols * cols, dtype});
    if (scales(r)) specs.push_back({"right_scale", cols});
  }
}

void workspace(const Recipe& r, int64_t n, int64_t rows, int64_t cols, WorkspaceSize& size) {
  const int64_t left = has_side(r, rows, cols) ? rows : 0, right = has_side(r, cols, rows) ? cols : 0;
  const int64_t square = std::max(left, right) * std::max(left, right);
  size.kept = std::max(size.kept, n * rows * cols);
  size.projected = std::max(size.projected, n * rows * cols);
  size.other = std::max(size.other, n * rows * cols);
  size.gram = std::max(size.gram, (kept_dtype(r) == DType::bf16 ? 3 : 1) * square);
  size.sums_for(3 * (rows + cols));
}

void check(const Recipe& r, const Refuse& refuse) {
  if (!on(r)) return;
  if (r.adapt != Adapt::none)
    refuse("adapt", "conflicts with precondition, which divides by second moments or eigenvalues of its own");
  if (r.form != Form::ema && r.form != Form::heavy_ball)
    refuse("form", "precondition needs ema or heavy_ball, an average of gradients");
  if (r.bias_correction && corrects(r))
    refuse("bias_correction", "conflicts with correct_bias, which corrects the same bias");
  if (r.momentum_last && corrects(r))
    refuse("momentum_last", "conflicts with correct_bias, which needs an average of gradients");
  if (r.momentum_moves() && corrects(r))
    refuse("momentum", "found a schedule, which conflicts with correct_bias: it assumes a constant coefficient");
  if (r.decay_last && r.decay_rate != DecayRate::lr)
    refuse("decay_last", "needs decay_rate lr, the only rate of decay after the step");
}

}  // namespace

bool has_side(const Recipe& r, int64_t size, int64_t other) {
  return size <= r.max_precond_dim && !(r.one_sided && size > other);
}

DType kept_dtype(const Recipe& r) { return r.precondition_state == Kept::bf16 ? DType::bf16 : DType::f32; }

bool Recipe::skips_first() const {
  return precondition != Precondition::none && precondition != Precondition::soap_momentum &&
         precondition_order == PreconditionOrder::after;
}

const Stage soap_stage = {.name = "precondition",
                          .switches = switches,
                          .on = on,
                          .atom = [](const Recipe&) { return Atom::matrix; },
                          .run = run,
                          .describe =
                              [](const Recipe& r) {
                                return fmt::format("{} every {}", std::string(name_of(r.precondition)),
                                                   in_every_step(r) ? 1 : r.precondition_frequency);
                              },
                          .check = check,
                          .workspace = workspace,
                          .state = state};

}  // namespace rowan

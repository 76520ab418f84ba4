// The slots and rules of Backend's optimizer operations. C++17, because CUDA sources include this header.
//
// A slot is one matrix (or a range of its elements or rows) with its optimizer state. Operations take lists of slots,
// so that a GPU processes many slots in one launch. An `update` tensor [n, out, in] (fp32 or bf16) holds one matrix for
// each of n slots.
#pragma once

#include <cstdint>

#include "base/enum_names.h"
#include "base/tensor.h"

namespace rowan {

struct OptimizerSlot {
  Tensor weight;      // fp32 or bf16: what the forward reads
  Tensor master;      // fp32 copy that is updated, then rounded into the weight; empty: the weight itself is updated
  Tensor gradient;    // fp32 or bf16
  Tensor first;       // momentum: fp32 or bf16 of the weight's size
  Tensor second;      // second moment: fp32 or bf16 of the weight's size; for adaptive_factors fp32[k], one per factor
  float scale = 1;    // shape-dependent factor of the step; with ApplyRule::scaled_decay also of the decay
  int64_t index = 0;  // number of the slot's first element among all parameters; stochastic rounding depends on it

  // The tensor that is read and updated.
  const Tensor& value() const { return master.empty() ? weight : master; }
};

// How a bf16 weight without a master is rounded.
// Nearest: the decayed weight and the result are each rounded to nearest, as in a framework that runs decay and step as
// two operations.
// Stochastic: only the result is rounded. It is rounded up with a probability equal to the fraction cut off. Element e,
// counted over all parameters, uses the 16-bit part e % 8 of philox(seed, e / 8, step), low halves first.
struct Rounding {
  bool stochastic = false;
  uint64_t seed = 0, step = 0;
};

// Cautious decay skips elements that the step moves away from zero. With w the weight before the step, and `step` the
// value subtracted from it, decay applies where step * w >= 0 (same_sign_or_zero) or > 0 (same_sign).
enum class Mask : uint8_t { none, same_sign_or_zero, same_sign };

// g = grad_scale * gradient; m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
// w = (1 - decay) w - step * m / (root_scale * sqrt(v) + eps), with decay only where the mask allows it.
struct AdamWRule {
  float beta1, beta2;
  float root_scale, eps;
  float step, decay;
  float grad_scale = 1;
  Rounding rounding;
  Mask mask = Mask::none;
};

// g = grad_scale * gradient; b' = keep b + take g;
// u = from_buffer * (previous ? b : b') + from_gradient * g.
struct MomentumRule {
  float keep, take;
  float from_buffer, from_gradient;
  bool previous = false;
  float grad_scale = 1;
};

// One value per row (sums over in), per column (sums over out), or per matrix.
enum class Along : uint8_t { row, column, matrix };
constexpr auto names_of(Along) { return enum_names("row", "column", "matrix"); }

// How eps enters a division by a norm. inside: 1 / sqrt(sum of squares + eps); add: 1 / (norm + eps);
// clamp: 1 / max(norm, eps).
enum class Eps : uint8_t { inside, add, clamp };

// u -= <u, t> t for each row or column, where t = w / max(|w|, eps), or t = w if raw.
struct ProjectRule {
  Along along = Along::row;  // row or column
  bool raw = false;
  float eps = 1e-10f;
};

// Multiplies the update by target, and by clip(norm ^ (2 exponent)) for each axis that is set. eps_mode says how eps
// enters the norm. All norms are those of the unscaled update. exponent -1/2 divides by the norm. clip k > 0 limits
// each factor to [1/k, k].
struct NormalizeRule {
  bool rows = false, columns = false, matrix = false;
  float exponent = -0.5f;
  float eps = 0;
  Eps eps_mode = Eps::add;
  float clip = 0;
  float target = 1;
};

// Computes factors[n, k]; v[k] is the slot's `second`.
// namo: v = beta v + (1 - beta) gradient_sums; q = sqrt(update_sums) / (sqrt(v) + eps), where eps_inside replaces the
// divisor by sqrt(v + eps); if 0 < clamp <= 1, then q = min(max(q, clamp * mean q), mean q / clamp); factor = bias * q.
// normuon: v = beta v + (1 - beta) update_sums / width; r = 1 / (sqrt(v) + eps); factor = r * sqrt(sum update_sums) /
// (sqrt(sum r^2 update_sums) + eps), which keeps the Frobenius norm of the update. target > 0 replaces that norm.
struct AdaptRule {
  bool normuon = false;
  float beta = 0.99f;
  float eps = 1e-8f;
  bool eps_inside = false;
  float clamp = 0;
  float bias = 1;
  float width = 1;
  float target = 0;
};

// v = beta v + (1 - beta) x^2, where x is the update, or grad_scale * gradient if of_gradient;
// update /= root_scale * sqrt(v) + eps.
struct SecondMomentRule {
  float beta = 0.95f;
  float eps = 1e-8f;
  float root_scale = 1;
  bool of_gradient = false;
  float grad_scale = 1;
};

// x = factor * max(x + shift, floor)^exponent, or 0 if that maximum is not positive.
struct PowerRule {
  float factor = 1, floor = 0, exponent = 1, shift = 0;
};

// A step u that ends on the sphere of radius r, for each row or matrix w, from ww = |w|^2, uw = <u, w> and uu = |u|^2:
// k = 1 - decay; s = lr * r / max(|u|, eps); q = r / max(|k w - s u|, eps); w = q k w - q s u.
// steps receives q s, and keeps receives q k. r = |w| if radii is empty. With `given`, s is read from steps.
struct RetractRule {
  float lr, decay;
  float eps;
  bool given = false;
};

// Keeps the `count` rows or columns of each update with the largest sums of magnitudes, and sets the other ones to 0.
// Of equal sums, the one with the lower index is kept. Multiplies the slot's `first` by `decay` in the rows or columns
// that are kept.
struct LargestRule {
  Along along = Along::row;  // row or column
  int64_t count = 1;
  float decay = 1;
};

// f = the factor of the row, column or matrix (factors[n, k]), or 1 without factors; s = min(lr * f * slot.scale, cap);
// d = weight_decay * (adaptive_decay ? min(lr * f, cap) : lr) * (scaled_decay ? slot.scale : 1), at most 1, where the
// mask allows it;
// w = (1 - d) w - s u.
// keeps[n, k], if present, replaces 1 - d. With `rounded`, slot.scale * u is rounded to bf16, then multiplied by s /
// slot.scale.
struct ApplyRule {
  float lr;
  float weight_decay = 0;
  bool adaptive_decay = false;
  bool scaled_decay = false;
  Mask mask = Mask::none;
  float cap = 3.4e38f;
  bool rounded = false;
  Along along = Along::matrix;
  Rounding rounding;
};

// Momentum, projection, normalization and update in one pass. `momentum` computes u. If `project`, u is projected as in
// project(). Then each row or column of u is divided by its norm, with eps added or clamped. Last, w = (1 - decay) w -
// step * slot.scale * u.
struct NormalizedStepRule {
  MomentumRule momentum;
  Along along = Along::row;  // row or column
  bool project = false;
  bool raw = false;
  float eps = 1e-12f;
  Eps eps_mode = Eps::clamp;
  float step, decay;
  Rounding rounding;
};

}  // namespace rowan

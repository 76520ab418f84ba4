// The slots and rules of Backend's optimizer operations. C++17, because CUDA sources include this header.
//
// A slot is a parameter, or a part of one, with its optimizer state. Operations take lists of slots, so that a GPU can
// process many slots in one launch. An `update` tensor [n, out, in] (fp32 or bf16) holds one matrix for each of n
// slots.
#pragma once

#include <cstdint>

#include "base/enum_names.h"
#include "base/random.h"
#include "base/tensor.h"

namespace rowan {

struct OptimizerSlot {
  Tensor weight;      // fp32 or bf16: the weight that the forward reads
  Tensor master;      // fp32 copy that is updated, then rounded into the weight; empty: the weight itself is updated
  Tensor gradient;    // fp32 or bf16
  Tensor first;       // momentum: fp32 or bf16 of the weight's size
  Tensor second;      // second moment: fp32 or bf16 of the weight's size; for adaptive_factors fp32[k], one per factor
  float scale = 1;    // shape-dependent factor of the step; with ApplyRule::scaled_decay also of the decay
  int64_t index = 0;  // index of the slot's first element among the elements of all parameters, for stochastic rounding

  // The tensor that holds w in the formulas below.
  const Tensor& value() const { return master.empty() ? weight : master; }
};

// How a bf16 weight without a master is rounded.
// Nearest: the decayed weight and the result are each rounded to nearest, as in a framework that runs decay and step as
// two operations.
// Stochastic: only the result is rounded, up or down at random, so that its expected value is exact. The four words of
// philox(seed, i, step) have eight halves of 16 random bits, the low half of each word first. Elements 8 i to 8 i + 7,
// counted over all parameters, use one half each, in this order.
struct Rounding {
  bool stochastic = false;
  uint64_t seed = 0, step = 0;
};

// Cautious decay skips elements that the step moves away from zero. Let w be the weight before the step, and `step` the
// value that is subtracted from it. Decay applies where step * w >= 0 (same_sign_or_zero) or step * w > 0 (same_sign).
enum class Mask : uint8_t { none, same_sign_or_zero, same_sign };

// The factors of an exponential moving average, mean = keep * mean + take * x, with keep = beta and take = 1 - beta.
// `take` is rounded last: the difference of 1 and the fp32 number nearest to 0.9999 is 1.7e-4 of itself too large.
struct Ema {
  float keep, take;
  constexpr Ema(double beta) : keep(static_cast<float>(beta)), take(static_cast<float>(1 - beta)) {}
};

// g = grad_scale * gradient; m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2, where `first` has beta1 and
// `second` beta2; w = (1 - decay) w - slot.scale * step * m / (root_scale * sqrt(v) + eps), with decay only where the
// mask allows it.
struct AdamWRule {
  Ema first = 0.9, second = 0.999;
  float root_scale, eps;
  float step, decay;
  float grad_scale = 1;
  Rounding rounding;
  Mask mask = Mask::none;
};

// b is the momentum buffer, b' its new value, u the update.
// g = grad_scale * gradient; b' = keep b + take g;
// u = from_buffer * (previous ? b : b') + from_gradient * g.
struct MomentumRule {
  float keep, take;
  float from_buffer, from_gradient;
  bool previous = false;
  float grad_scale = 1;
};

// Whether there is one value per row (a sum over `in`), per column (a sum over `out`) or per matrix.
enum class Along : uint8_t { row, column, matrix };
constexpr auto names_of(Along) { return enum_names("row", "column", "matrix"); }

// How eps enters a division by a norm. inside: 1 / sqrt(sum of squares + eps); add: 1 / (norm + eps);
// clamp: 1 / max(norm, eps).
enum class Eps : uint8_t { inside, add, clamp };

// For each row or column u of the update and w of the weight: u -= <u, t> t, where <u, t> is the dot product and
// t = w / max(|w|, eps), or t = w if raw.
struct ProjectRule {
  Along along = Along::row;  // row or column
  bool raw = false;
  float eps = 1e-10f;
};

// Multiplies the update by `target`. If `rows` is set, also multiplies each row by norm^(2 * exponent), where norm is
// the norm of the row. `columns` multiplies each column by this power of the column's norm, and `matrix` each matrix by
// this power of the matrix's norm. An exponent of -1/2 divides by the norm. eps_mode says how eps enters the norm. All
// norms are taken before the update is changed. If clip > 0, each factor norm^(2 * exponent) is limited to
// [1 / clip, clip]. The product of an element's factors is at most largest_factor.
struct NormalizeRule {
  bool rows = false, columns = false, matrix = false;
  float exponent = -0.5f;
  float eps = 0;
  Eps eps_mode = Eps::add;
  float clip = 0;
  float target = 1;
};

// Computes factors[n, k]. v[k] is the slot's `second`. Means and sums are over k.
// If `normuon` is false (NAMO, arXiv 2602.17080):
//   v = beta v + (1 - beta) gradient_sums;
//   q = sqrt(update_sums) / (sqrt(v) + eps), or sqrt(update_sums) / sqrt(v + eps) if eps_inside;
//   if 0 < clamp <= 1, q is limited to [clamp * mean q, mean q / clamp];
//   factor = bias * q.
// If `normuon` is true (NorMuon, arXiv 2510.05491):
//   v = beta v + (1 - beta) update_sums / width; r = 1 / (sqrt(v) + eps);
//   norm = target if target > 0, else sqrt(sum of update_sums), which preserves the Frobenius norm of the update;
//   factor = r * norm / (sqrt(sum of r^2 update_sums) + eps).
struct AdaptRule {
  bool normuon = false;
  Ema second = 0.99;
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
  Ema second = 0.95;
  float eps = 1e-8f;
  float root_scale = 1;
  bool of_gradient = false;
  float grad_scale = 1;
};

// x = factor * max(x + shift, floor)^exponent, at most largest_factor, or 0 if the maximum is not positive. NaN stays
// NaN. If `odd`, the rule is applied to |x + shift|, and the result gets the sign of x + shift.
struct PowerRule {
  float factor = 1, floor = 0, exponent = 1, shift = 0;
  bool odd = false;
};

// A step along u that ends on the sphere of radius r, for each row or matrix w. The inputs are ww = |w|^2, uu = |u|^2
// and the dot product uw = <u, w>:
// k = 1 - decay; s = lr * r / max(|u|, eps); q = r / max(|k w - s u|, eps); w = q k w - q s u.
// steps receives q s, and keeps receives q k. If radii is empty, r = |w|. If `given`, s is read from steps.
struct RetractRule {
  float lr, decay;
  float eps;
  bool given = false;
};

// The largest fp32 number. sums_of_squares() limits its results to this number, so that they are finite if all elements
// are finite.
inline constexpr float largest_sum = 3.4028235e38f;

// The largest factor by which normalize() multiplies an element, and the largest result of power(). It is finite, so
// that zeros stay zeros.
inline constexpr float largest_factor = 3e38f;

// x, but not below `least` or not above `most`. NaN stays NaN, unlike with fmax() and fmin().
template <typename T>
ROWAN_HOST_DEVICE inline T at_least(T x, T least) {
  return x < least ? least : x;
}
template <typename T>
ROWAN_HOST_DEVICE inline T at_most(T x, T most) {
  return x > most ? most : x;
}

// Whether key a is sorted before key b. Larger keys come first, and NaN comes before all numbers, so that rows with a
// NaN are kept and the NaN is noticed. Equal keys keep their order, and so do NaNs.
template <typename Key>
ROWAN_HOST_DEVICE inline bool sorts_before(Key a, Key b) {
  return a > b || (a != a && b == b);
}

// In each update, keeps the `count` rows or columns with the largest sums of magnitudes, as sorts_before() orders them,
// and sets the others to 0. If sums are equal, lower indices are kept first. Multiplies the slot's `first` by `decay`
// in the rows or columns that are kept.
struct LargestRule {
  Along along = Along::row;  // row or column
  int64_t count = 1;
  float decay = 1;
};

// f = the factor of the row, column or matrix (factors[n, k]), or 1 without factors; s = min(lr * f * slot.scale, cap);
// d = weight_decay * (adaptive_decay ? min(lr * f, cap) : lr) * (scaled_decay ? slot.scale : 1), but at most 1, and 0
// where the mask excludes decay;
// w = (1 - d) w - s u, or w = (1 - d) (w - s u) if `decay_last`.
// If keeps[n, k] is present, it replaces 1 - d where the mask allows decay. If `rounded`, slot.scale * u is rounded to
// bf16, then multiplied by s / slot.scale.
struct ApplyRule {
  float lr;
  float weight_decay = 0;
  bool adaptive_decay = false;
  bool scaled_decay = false;
  bool decay_last = false;
  Mask mask = Mask::none;
  float cap = 3.4e38f;
  bool rounded = false;
  Along along = Along::matrix;
  Rounding rounding;
};

// Momentum, projection, normalization and update in one operation. The rule `momentum` gives u. If `project`, u is
// projected by ProjectRule's formula. Then each row or column of u is divided by its norm; eps_mode, Eps::add or
// Eps::clamp, says how eps enters the norm. Last, w = (1 - decay) w - step * slot.scale * u.
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

// Tests these optimizer operations against float64: AdamW, momentum, projection, normalization, sign, sums of squares,
// adaptive factors, second moments and the step. Also tests stochastic rounding and error messages.
// test_optimizer_axes.cpp tests the other optimizer operations.
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/random.h"
#include "suite.h"

namespace rowan::test {
namespace {

constexpr double huge = 1e300;

// Holds n slots of [rows, cols] with all tensors that an operation can need, and the same values as doubles.
struct Matrices {
  int64_t n, rows, cols;
  std::vector<std::unique_ptr<Buffer>> weights, masters, gradients, first, second;
  std::vector<OptimizerSlot> slots;

  // `mode` is 0 for fp32 weights, 1 for bf16 weights with masters, and 2 for bf16 weights without masters and with bf16
  // states.
  Matrices(int64_t n, int64_t rows, int64_t cols, int mode, DType gradient) : n(n), rows(rows), cols(cols) {
    const DType state = mode == 2 ? DType::bf16 : DType::f32;
    for (int64_t i = 0; i < n; ++i) {
      const uint64_t seed = 10 * static_cast<uint64_t>(i);
      weights.push_back(std::make_unique<Buffer>(mode ? DType::bf16 : DType::f32,
                                                 std::initializer_list<int64_t>{rows, cols}, seed + 1));
      masters.push_back(std::make_unique<Buffer>(DType::f32, std::initializer_list<int64_t>{rows, cols}, seed + 2));
      gradients.push_back(std::make_unique<Buffer>(gradient, std::initializer_list<int64_t>{rows, cols}, seed + 3));
      first.push_back(std::make_unique<Buffer>(state, std::initializer_list<int64_t>{rows, cols}, seed + 4));
      Doubles squares = random_values(rows * cols, seed + 5);
      for (double& x : squares) x *= x;
      second.push_back(std::make_unique<Buffer>(state, std::initializer_list<int64_t>{rows, cols}, squares));
      OptimizerSlot slot;
      slot.weight = *weights[i];
      if (mode == 1) slot.master = *masters[i];
      slot.gradient = *gradients[i];
      slot.first = *first[i];
      slot.second = *second[i];
      slot.scale = 1.0f + 0.5f * static_cast<float>(i);
      slot.index = i * rows * cols;
      slots.push_back(slot);
    }
  }

  DType state() const { return first[0]->tensor().dtype; }
  const Buffer& value(int64_t i) const { return slots[i].master.empty() ? *weights[i] : *masters[i]; }

  // Expects that the backend stored the weights keep(j) * w[j] - step(j).
  void expect_updated(int64_t i, const std::function<double(size_t)>& keep, const std::function<double(size_t)>& step) {
    const DType dtype = value(i).tensor().dtype;
    Doubles want = value(i).given();
    for (size_t j = 0; j < want.size(); ++j) want[j] = rounded(keep(j) * want[j], dtype) - step(j);
    expect_close(value(i).read(), want, dtype, "weight");
    if (slots[i].master.empty()) return;
    Doubles copy = value(i).read();
    for (double& x : copy) x = rounded(x, DType::bf16);
    EXPECT_EQ(weights[i]->read(), copy) << "the weight must be the rounded master";
  }
};

class Optimizers : public testing::TestWithParam<std::tuple<int, DType>> {
 protected:
  Matrices make(int64_t n, int64_t rows, int64_t cols) {
    return Matrices(n, rows, cols, std::get<0>(GetParam()), std::get<1>(GetParam()));
  }
  DType dtype() const { return std::get<1>(GetParam()); }
};

// Tests operations that change neither weights nor states.
class Updates : public Ops {};

// For each element, the sum of x * y over its row, its column or the matrix.
Doubles sums_along(const Doubles& x, const Doubles& y, int64_t cols, Along along) {
  std::vector<double> sums(x.size() + 1);
  auto at = [&](size_t i) {
    const size_t width = static_cast<size_t>(cols);
    return along == Along::row ? i / width : along == Along::column ? i % width : 0;
  };
  for (size_t i = 0; i < x.size(); ++i) sums[at(i)] += x[i] * y[i];
  Doubles result(x.size());
  for (size_t i = 0; i < x.size(); ++i) result[i] = sums[at(i)];
  return result;
}

double divisor(double square, double eps, Eps mode) {
  return mode == Eps::inside ? std::sqrt(square + eps)
         : mode == Eps::add  ? std::sqrt(square) + eps
                             : std::max(std::sqrt(square), eps);
}

constexpr int64_t shapes[][3] = {{1, 1, 1}, {2, 1, 37}, {3, 19, 1}, {2, 33, 70}, {1, 40, 300}};
// Matrices with more elements are tested with only one eps mode, because emulated GPU kernels are slow.
constexpr int64_t few = 100;

TEST_P(Optimizers, AdamW) {
  for (auto [n, rows, cols] : shapes) {
    Matrices x = make(n, rows, cols);
    AdamWRule rule{0.9, 0.95, 1.7f, 1e-3f, 0.02f, 0.03f, 0.5f, {}, n == 2 ? Mask::same_sign : Mask::none};
    backend().adamw(x.slots, rule);
    for (int64_t i = 0; i < n; ++i) {
      Doubles m = x.first[i]->given(), v = x.second[i]->given();
      for (size_t j = 0; j < m.size(); ++j) {
        const double g = 0.5 * x.gradients[i]->given()[j];
        m[j] = 0.9 * m[j] + 0.1 * g;
        v[j] = 0.95 * v[j] + 0.05 * g * g;
      }
      expect_close(x.first[i]->read(), m, x.state(), "first");
      expect_close(x.second[i]->read(), v, x.state(), "second");
      x.expect_updated(
          i,
          [&](size_t j) {
            return rule.mask == Mask::same_sign && m[j] * x.value(i).given()[j] <= 0 ? 1 : 1 - double{rule.decay};
          },
          [&](size_t j) {
            return double{x.slots[i].scale} * rule.step * m[j] / (rule.root_scale * std::sqrt(v[j]) + double{rule.eps});
          });
    }
  }
}

// Updates the momentum buffer b from the gradient g, and computes the update u.
void mix(const MomentumRule& rule, const Doubles& g, Doubles& b, Doubles& u) {
  u.resize(b.size());
  for (size_t j = 0; j < b.size(); ++j) {
    const double gradient = double{rule.grad_scale} * g[j],
                 after = double{rule.keep} * b[j] + double{rule.take} * gradient;
    u[j] = double{rule.from_buffer} * (rule.previous ? b[j] : after) + double{rule.from_gradient} * gradient;
    b[j] = after;
  }
}

void project(Doubles& u, const Doubles& w, int64_t cols, Along along, bool raw, double eps) {
  const Doubles uw = sums_along(u, w, cols, along), ww = sums_along(w, w, cols, along);
  for (size_t j = 0; j < u.size(); ++j) {
    const double norm = std::max(std::sqrt(ww[j]), eps);
    u[j] -= uw[j] * w[j] / (raw ? 1 : norm * norm);
  }
}

TEST_P(Optimizers, Momentum) {
  for (auto [n, rows, cols] : shapes)
    for (bool previous : {false, true}) {
      Matrices x = make(n, rows, cols);
      Buffer update(dtype(), {n, rows, cols});
      MomentumRule rule{0.9f, 0.2f, 0.8f, 0.3f, previous, 0.5f};
      backend().momentum(update, x.slots, rule);
      Doubles all;
      for (int64_t i = 0; i < n; ++i) {
        Doubles b = x.first[i]->given(), u;
        mix(rule, x.gradients[i]->given(), b, u);
        expect_close(x.first[i]->read(), b, x.state(), "first");
        all.insert(all.end(), u.begin(), u.end());
      }
      expect_close(update.read(), all, dtype(), "update");
    }
}

TEST_P(Optimizers, Project) {
  for (auto [n, rows, cols] : shapes)
    for (Along along : {Along::row, Along::column})
      for (bool raw : {false, true}) {
        if ((along == Along::row ? cols : rows) == 1) continue;  // the projection leaves only rounding errors
        Matrices x = make(n, rows, cols);
        Buffer update(dtype(), {n, rows, cols}, 7);
        backend().project(update, x.slots, {along, raw, 1e-10f});
        Doubles all;
        const int64_t size = rows * cols;
        for (int64_t i = 0; i < n; ++i) {
          Doubles u(update.given().begin() + i * size, update.given().begin() + (i + 1) * size);
          project(u, x.value(i).given(), cols, along, raw, 1e-10);
          all.insert(all.end(), u.begin(), u.end());
        }
        expect_close(update.read(), all, dtype(), "update", dtype() == DType::bf16 ? 2e-2 : raw ? 3e-5 : 1e-5);
      }
}

// projection: 0 none, 1 along the normalized weights, 2 along the raw weights.
void expect_normalized_step(Matrices x, Along along, int projection, Eps mode) {
  NormalizedStepRule rule;
  rule.momentum = {0.9f, 0.2f, 0.8f, 0.3f, false, 0.5f};
  rule.along = along;
  rule.project = projection > 0;
  rule.raw = projection == 2;
  rule.eps = 1e-2f;
  rule.eps_mode = mode;
  rule.step = 0.3f;
  rule.decay = 0.05f;
  backend().normalized_step(x.slots, rule);
  for (int64_t i = 0; i < x.n; ++i) {
    Doubles b = x.first[i]->given(), u;
    mix(rule.momentum, x.gradients[i]->given(), b, u);
    expect_close(x.first[i]->read(), b, x.state(), "first");
    if (projection) project(u, x.value(i).given(), x.cols, along, rule.raw, double{rule.eps});
    const Doubles squares = sums_along(u, u, x.cols, along);
    x.expect_updated(
        i, [&](size_t) { return 1 - double{rule.decay}; },
        [&](size_t j) {
          return double{rule.step} * x.slots[i].scale * u[j] / divisor(squares[j], double{rule.eps}, mode);
        });
  }
}

TEST_P(Optimizers, NormalizedStep) {
  for (auto [n, rows, cols] : shapes)
    for (Along along : {Along::row, Along::column})
      for (int projection : {0, 1, 2})
        for (Eps mode : {Eps::add, Eps::clamp}) {
          if (n * rows * cols > few && (mode == Eps::add) != (projection == 1)) continue;
          // Projection along normalized weights makes a row or column of one element zero up to rounding errors, which
          // normalizing would enlarge.
          if (projection == 1 && (along == Along::row ? cols : rows) == 1) continue;
          expect_normalized_step(make(n, rows, cols), along, projection, mode);
        }
}

// With projection, a row of 6144 elements needs exactly 48 KB, the shared memory that a GPU kernel has without opting
// in to more.
TEST_P(Optimizers, NormalizedStepOfWideRows) { expect_normalized_step(make(1, 2, 6144), Along::row, 1, Eps::add); }

// A row of 60000 elements needs more than the shared memory of a thread block.
TEST_P(Optimizers, NormalizedStepOfVeryWideRows) { expect_normalized_step(make(2, 2, 60000), Along::row, 1, Eps::add); }

TEST_P(Updates, Normalize) {
  for (auto [n, rows, cols] : shapes)
    for (int axes = 1; axes < 8; ++axes)
      for (Eps mode : {Eps::inside, Eps::add, Eps::clamp}) {
        if (n * rows * cols > few && axes % 3 != static_cast<int>(mode)) continue;
        Buffer update(dtype(), {n, rows, cols}, 7);
        NormalizeRule rule{(axes & 1) != 0,
                           (axes & 2) != 0,
                           (axes & 4) != 0,
                           axes == 3 ? -0.25f : -0.5f,
                           0.5f,
                           mode,
                           axes == 2 ? 3.0f : 0.0f,
                           1.5f};
        backend().normalize(update, rule);
        Doubles all;
        const int64_t size = rows * cols;
        for (int64_t i = 0; i < n; ++i) {
          const Doubles u(update.given().begin() + i * size, update.given().begin() + (i + 1) * size);
          const Doubles squares[] = {sums_along(u, u, cols, Along::row), sums_along(u, u, cols, Along::column),
                                     sums_along(u, u, cols, Along::matrix)};
          for (size_t j = 0; j < u.size(); ++j) {
            double factor = rule.target;
            auto axis = [&](bool wanted, Along along) {
              if (!wanted) return;
              double f =
                  std::pow(divisor(squares[static_cast<int>(along)][j], double{rule.eps}, mode), 2.0 * rule.exponent);
              if (rule.clip > 0) f = std::min(std::max(f, 1.0 / rule.clip), double{rule.clip});
              factor *= f;
            };
            axis(rule.rows, Along::row);
            axis(rule.columns, Along::column);
            axis(rule.matrix, Along::matrix);
            all.push_back(factor * u[j]);
          }
        }
        expect_close(update.read(), all, dtype(), "update");
      }
}

TEST_P(Updates, Sign) {
  Buffer update(dtype(), {2, 3, 2}, {0, -0.0, 1e-30, -1e-30, 5, -5, 1e30, -1e30, 0, 1, -1, 2});
  backend().sign(update);
  EXPECT_EQ(update.read(), (Doubles{0, 0, 1, -1, 1, -1, 1, -1, 0, 1, -1, 1}));
}

TEST_P(Optimizers, SumsOfSquares) {
  for (auto [n, rows, cols] : shapes)
    for (Along along : {Along::row, Along::column, Along::matrix}) {
      Matrices x = make(n, rows, cols);
      const int64_t k = along == Along::row ? rows : along == Along::column ? cols : 1;
      Buffer out(DType::f32, {n, k});
      std::vector<Tensor> gradients;
      Doubles want;
      for (int64_t i = 0; i < n; ++i) {
        gradients.push_back(x.slots[i].gradient);
        const Doubles& g = x.gradients[i]->given();
        const Doubles squares = sums_along(g, g, cols, along);
        for (int64_t j = 0; j < k; ++j)
          want.push_back(0.25 * squares[static_cast<size_t>(along == Along::row ? j * cols : j)]);
      }
      backend().sums_of_squares(out, gradients, along, 0.5f);
      expect_close(out.read(), want, DType::f32, "out");
    }
}

// A sum that overflows becomes largest_sum. A NaN stays NaN.
TEST_P(Updates, LargeSumsOfSquaresAreFinite) {
  Buffer x(dtype(), {3, 2}, {1e25, 1, 2, 3, std::nan(""), 1}), y(dtype(), {3, 2}, {1e19, 1e19, 1e19, 1e19, 1e19, 1e19});
  for (auto [along, k] : {std::pair{Along::row, 3}, {Along::column, 2}, {Along::matrix, 1}}) {
    Buffer out(DType::f32, {2, k});
    backend().sums_of_squares(out, {x, y}, along, 2);
    const Doubles sums = out.read(), largest(static_cast<size_t>(k), double{largest_sum});
    EXPECT_EQ(Doubles(sums.begin() + k, sums.end()), largest) << k;
    EXPECT_TRUE(std::isnan(along == Along::row ? sums[2] : sums[0])) << k;
    if (along == Along::row) {
      EXPECT_EQ(Doubles(sums.begin(), sums.begin() + 2), (Doubles{double{largest_sum}, 52}));
    }
  }
}

TEST_P(Optimizers, AdaptiveFactors) {
  for (int64_t k : {1, 5, 130})
    for (int kind = 0; kind < 5; ++kind) {
      const int64_t n = 3;
      Matrices x(n, 1, k, 0, DType::f32);
      auto squares = [&](uint64_t seed) {
        Doubles values = random_values(n * k, seed);
        for (double& value : values) value *= value;
        return values;
      };
      Buffer factors(DType::f32, {n, k}), update_sums(DType::f32, {n, k}, squares(8)),
          gradient_sums(DType::f32, {n, k}, squares(9));
      AdaptRule rule;
      rule.normuon = kind >= 3;
      rule.target = kind == 4 ? 2.5f : 0;
      rule.second = 0.9;
      rule.eps = 1e-3f;
      rule.eps_inside = kind == 1;
      rule.clamp = kind == 2 ? 0.6f : 0;
      rule.bias = 1.3f;
      rule.width = 11;
      backend().adaptive_factors(factors, x.slots, update_sums, rule.normuon ? Tensor() : gradient_sums.tensor(), rule);
      Doubles want;
      for (int64_t i = 0; i < n; ++i) {
        Doubles v = x.second[i]->given(), f(static_cast<size_t>(k));
        const double* u = update_sums.given().data() + i * k;
        const double* g = gradient_sums.given().data() + i * k;
        double mean = 0, before = 0, after = 0;
        for (int64_t j = 0; j < k; ++j) {
          v[j] = 0.9 * v[j] + 0.1 * (rule.normuon ? u[j] / rule.width : g[j]);
          const double root = rule.eps_inside ? std::sqrt(v[j] + rule.eps) : std::sqrt(v[j]) + rule.eps;
          f[j] = rule.normuon ? 1 / root : std::sqrt(u[j]) / root;
          mean += f[j] / static_cast<double>(k);
          before += u[j];
          after += f[j] * f[j] * u[j];
        }
        for (double& value : f) {
          if (rule.clamp > 0) value = std::min(std::max(value, rule.clamp * mean), mean / rule.clamp);
          const double norm = kind == 4 ? 2.5 : std::sqrt(before);
          value *= rule.normuon ? norm / (std::sqrt(after) + rule.eps) : double{rule.bias};
        }
        expect_close(x.second[i]->read(), v, DType::f32, "second");
        want.insert(want.end(), f.begin(), f.end());
      }
      expect_close(factors.read(), want, DType::f32, "factors");
    }
}

TEST_P(Optimizers, SecondMoment) {
  for (auto [n, rows, cols] : shapes)
    for (bool of_gradient : {false, true}) {
      Matrices x = make(n, rows, cols);
      Buffer update(dtype(), {n, rows, cols}, 7);
      const SecondMomentRule rule{0.9, 1e-2f, of_gradient ? 1.5f : 1.0f, of_gradient, 0.5f};
      backend().second_moment(update, x.slots, rule);
      Doubles all = update.given();
      for (int64_t i = 0; i < n; ++i) {
        Doubles v = x.second[i]->given();
        for (size_t j = 0; j < v.size(); ++j) {
          double& u = all[static_cast<size_t>(i) * v.size() + j];
          const double value = of_gradient ? 0.5 * x.gradients[i]->given()[j] : u;
          v[j] = 0.9 * v[j] + 0.1 * value * value;
          u /= double{rule.root_scale} * std::sqrt(v[j]) + double{1e-2f};
        }
        expect_close(x.second[i]->read(), v, x.state(), "second");
      }
      expect_close(update.read(), all, dtype(), "update");
    }
}

TEST_P(Optimizers, Apply) {
  for (const auto& [n, height, width] : shapes)
    for (int kind = 0; kind < 13; ++kind) {
      const int64_t rows = height, cols = width;
      Matrices x = make(n, rows, cols);
      Buffer update(dtype(), {n, rows, cols}, 7);
      ApplyRule rule;
      rule.lr = 0.3f;
      rule.weight_decay = kind == 12 ? 5 : 0.2f;  // 5 * lr > 1: the decay is limited to 1
      rule.decay_last = kind >= 10;
      rule.along = kind == 1 || kind == 9 ? Along::row : kind == 2 || kind == 6 ? Along::column : Along::matrix;
      rule.adaptive_decay = kind >= 2 && kind < 7;
      rule.mask = kind == 7 || kind == 11   ? Mask::same_sign_or_zero
                  : kind == 8 || kind == 12 ? Mask::same_sign
                                            : Mask::none;
      rule.scaled_decay = kind == 8;
      if (kind == 4) rule.cap = 0.4f;
      rule.rounded = kind == 5 || kind == 6;
      const int64_t k = rule.along == Along::row ? rows : rule.along == Along::column ? cols : 1;
      Doubles given = random_values(n * k, 9);
      for (double& value : given) value = std::fabs(value);
      Buffer factors(DType::f32, {n, k}, given), keeps(DType::f32, {n, k}, random_values(n * k, 10));
      backend().apply(update, x.slots, kind == 0 ? Tensor() : factors.tensor(), kind == 9 ? keeps.tensor() : Tensor(),
                      rule);
      for (int64_t i = 0; i < n; ++i) {
        auto factor = [&](size_t j) {
          if (kind == 0) return 1.0;
          const size_t at = rule.along == Along::row ? j / cols : rule.along == Along::column ? j % cols : 0;
          return factors.given()[static_cast<size_t>(i * k) + at];
        };
        const double cap = kind == 4 ? double{rule.cap} : huge;
        auto keep = [&](size_t j) {
          if (kind == 9) return keeps.given()[static_cast<size_t>(i * k) + j / static_cast<size_t>(cols)];
          const double by = rule.adaptive_decay ? std::min(rule.lr * factor(j), cap) : double{rule.lr};
          const double sign = update.given()[static_cast<size_t>(i * rows * cols) + j] * x.value(i).given()[j];
          if (rule.mask == Mask::same_sign_or_zero ? sign < 0 : rule.mask == Mask::same_sign && sign <= 0) return 1.0;
          return 1 - std::min(1.0, rule.weight_decay * by * (rule.scaled_decay ? x.slots[i].scale : 1));
        };
        x.expect_updated(i, keep, [&](size_t j) {
          const double u = update.given()[static_cast<size_t>(i * rows * cols) + j], scale = x.slots[i].scale;
          const double size = (rule.decay_last ? keep(j) : 1) * std::min(rule.lr * factor(j) * scale, cap);
          // The product is computed in fp32, as in the backends, so that test and backend round the same number.
          return rule.rounded ? size / scale * rounded(static_cast<float>(scale) * static_cast<float>(u), DType::bf16)
                              : size * u;
        });
      }
    }
}

std::string mode_name(const testing::TestParamInfo<std::tuple<int, DType>>& info) {
  static const char* const modes[] = {"fp32", "masters", "bf16"};
  return std::string(modes[std::get<0>(info.param)]) + "_" + name_of(std::get<1>(info.param));
}

ROWAN_OVER_DTYPES(Updates);
INSTANTIATE_TEST_SUITE_P(all, Optimizers,
                         testing::Combine(testing::Values(0, 1, 2), testing::Values(DType::f32, DType::bf16)),
                         mode_name);

// Stochastic rounding is the documented function of (seed, element, step).
TEST(OptimizerRounding, Stochastic) {
  const int64_t cols = 40;
  Matrices x(2, 3, cols, 2, DType::f32);
  AdamWRule rule{0.9, 0.95, 1, 1e-3f, 1e-4f, 0, 1, {true, 42, 7}};
  backend().adamw(x.slots, rule);
  for (int64_t i = 0; i < 2; ++i)
    for (size_t j = 0; j < static_cast<size_t>(3 * cols); ++j) {
      const double g = x.gradients[i]->given()[j];
      const double m = 0.9f * x.first[i]->given()[j] + 0.1f * g, v = 0.95f * x.second[i]->given()[j] + 0.05f * g * g;
      const double exact = x.weights[i]->given()[j] - 1e-4 * x.slots[i].scale * m / (std::sqrt(v) + 1e-3);
      const float wide = static_cast<float>(exact);
      uint32_t bits;
      std::memcpy(&bits, &wide, sizeof bits);
      const uint64_t element = static_cast<uint64_t>(i * 3 * cols) + j;
      const uint32_t word = philox(42, element / 8, 7).word[element % 8 / 2];
      const uint32_t draw = element % 2 ? word >> 16 : word & 0xffffu;
      // The backend computes in fp32, so the sum that it rounds may differ from bits + draw by up to `slack`.
      const double got = x.weights[i]->read()[j];
      const auto stored = [&](uint32_t sum) { return double{to_float(bf16{static_cast<uint16_t>(sum >> 16)})}; };
      const int slack = 64;
      EXPECT_TRUE(got == stored(bits + draw) || got == stored(bits + draw - slack) ||
                  got == stored(bits + draw + slack))
          << "element " << element << ": exact " << exact << ", got " << got;
    }
}

// In fp32, 1 - beta would be 1.7e-4 of itself too large.
TEST(OptimizerChecks, AveragesTakeTheExactShare) {
  const Doubles zero{0}, one{1};
  Buffer g(DType::f32, {1, 1}, one), m(DType::f32, {1, 1}, zero), v(DType::f32, {1, 1}, zero),
      w(DType::f32, {1, 1}, zero);
  OptimizerSlot slot;
  slot.gradient = g, slot.first = m, slot.second = v, slot.weight = w;
  backend().adamw({slot}, {0.9999, 0.9999, 1, 1e-8f, 0, 0, 1, {}});
  EXPECT_FLOAT_EQ(static_cast<float>(m.read()[0]), 1e-4f);
  EXPECT_FLOAT_EQ(static_cast<float>(v.read()[0]), 1e-4f);
}

TEST(OptimizerChecks, NameTheArgument) {
  Matrices x(2, 3, 4, 0, DType::f32);
  Buffer narrow(DType::f32, {2, 3, 5}), one(DType::f32, {1, 3, 4}), flat(DType::f32, {24});
  EXPECT_NE(error_of([&] { backend().momentum(one, x.slots, {}); }).find("for each of 2 slots"), std::string::npos);
  EXPECT_NE(error_of([&] { backend().momentum(narrow, x.slots, {}); }).find("gradient of slot 0"), std::string::npos);
  EXPECT_NE(error_of([&] { backend().normalize(flat, {}); }).find("expected [n, out, in]"), std::string::npos);
  x.slots[1].second = Tensor();
  EXPECT_NE(error_of([&] { backend().adamw(x.slots, {}); }).find("second of slot 1 is missing"), std::string::npos);
}

TEST(OptimizerChecks, NameTheDtypesThatDiffer) {
  const auto adamw = [](const Matrices& x) { return error_of([&] { backend().adamw(x.slots, {}); }); };
  Buffer narrow(DType::bf16, {3, 4}), wide(DType::f32, {3, 4});
  Matrices x(2, 3, 4, 0, DType::f32);
  x.slots[1].second = narrow;
  EXPECT_EQ(adamw(x), "adamw: second of slot 1: found bf16[3, 4], expected fp32 as in slot 0");
  x.slots[1].first = narrow;
  EXPECT_EQ(adamw(x), "adamw: slot 1: found gradient fp32 and first bf16, expected fp32 and fp32 as in slot 0");
  x.slots[1].weight = narrow;
  x.slots[1].master = wide;
  EXPECT_EQ(adamw(x), "adamw: slot 1: found weight bf16 and a master, expected fp32 and no master as in slot 0");
}

}  // namespace
}  // namespace rowan::test

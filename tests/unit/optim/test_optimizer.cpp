// Tests properties of single recipes, and properties that every recipe must have.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/error.h"
#include "distances.h"
#include "optim/recipe.h"
#include "optim/recipes.h"
#include "unit/optim/optimizer_bench.h"

namespace rowan::test {
namespace {

// (weights before a step - weights after it) / lr.
Floats direction(Trained& x, int64_t t, const Floats& gradient, double lr = 0.01) {
  Floats before = x.values();
  x.step(t, gradient);
  Floats after = x.values();
  for (size_t i = 0; i < after.size(); ++i) after[i] = static_cast<float>((double{before[i]} - after[i]) / lr);
  return after;
}

TEST(Nora, UpdateIsTangentAndOfUnitNorm) {
  const int64_t rows = 48, cols = 16;
  Trained x = one_matrix(recipe("nora"), rows, cols);
  x.start();
  const double scale = std::sqrt(3.0);
  for (int t = 0; t < 3; ++t) {
    const Floats before = x.values(), d = direction(x, t, normal_floats(rows * cols, 30 + t)), after = x.values();
    for (int64_t i = 0; i < rows; ++i) {
      const float *w = before.data() + i * cols, *u = d.data() + i * cols, *next = after.data() + i * cols;
      EXPECT_NEAR(std::sqrt(dot(u, u, cols)), scale, 1e-4);
      EXPECT_NEAR(dot(u, w, cols) / std::sqrt(dot(w, w, cols)), 0, 1e-4);
      EXPECT_NEAR(dot(next, next, cols) - dot(w, w, cols), 1e-4 * 3, 1e-6);  // (lr * scale)^2
    }
  }
}

TEST(Rmnp, IgnoresPositiveScalesOfRows) {
  const int64_t rows = 6, cols = 10;
  Trained plain = one_matrix(recipe("rmnp"), rows, cols), scaled = one_matrix(recipe("rmnp"), rows, cols);
  plain.start();
  scaled.start();
  for (int t = 0; t < 4; ++t) {
    Floats g = normal_floats(rows * cols, 40 + t);
    plain.step(t, g);
    for (int64_t i = 0; i < rows * cols; ++i) g[i] *= std::pow(10.0f, static_cast<float>(i / cols) - 3);
    scaled.step(t, g);
  }
  EXPECT_LT(largest_difference(plain.values(), scaled.values()), 1e-6);
}

TEST(MuonEq, IgnoresAGlobalScale) {
  for (const char* name : {"muoneq-r", "muoneq-c", "muoneq-rc"}) {
    const int64_t rows = 12, cols = 8;
    Trained plain = one_matrix(recipe(name), rows, cols), scaled = one_matrix(recipe(name), rows, cols);
    plain.start();
    scaled.start();
    for (int t = 0; t < 3; ++t) {
      Floats g = normal_floats(rows * cols, 50 + t);
      plain.step(t, g);
      for (float& value : g) value *= 1000;
      scaled.step(t, g);
    }
    EXPECT_LT(largest_difference(plain.values(), scaled.values()), 1e-5) << name;
  }
}

TEST(NamoD, FactorsLieInTheClamp) {
  // Without weight decay and caps, and with an exactly orthogonal direction, the factors are the column norms of the
  // step.
  const int64_t rows = 40, cols = 12;
  for (double c : {0.5, 0.9, 1.0}) {
    Trained x = one_matrix(
        recipe("namo-d",
               fmt::format(R"("clamp": {}, "shape_scale": "none", "direction": "polar", "step_cap": null)", c)),
        rows, cols);
    x.start();
    Floats g = normal_floats(rows * cols, 60);
    for (int64_t i = 0; i < rows * cols; ++i) g[i] *= static_cast<float>(1 + i % cols);
    x.step(0, g);
    for (int64_t i = 0; i < rows * cols; ++i) g[i] *= static_cast<float>(1 + (i % cols) * (i % cols));
    const Floats d = direction(x, 1, g);
    double low = 1e30, high = 0;
    for (int64_t j = 0; j < cols; ++j) {
      double square = 0;
      for (int64_t i = 0; i < rows; ++i) square += double{d[i * cols + j]} * d[i * cols + j];
      low = std::min(low, std::sqrt(square));
      high = larger(high, std::sqrt(square));
    }
    EXPECT_LE(high / low, 1 / (c * c) * 1.001) << "condition number of the factors";
    if (c == 0.5) {
      EXPECT_GT(high / low, 1.05) << "the factors differ at all";
    }
  }
}

TEST(NewtonSchulz, SingularValuesLieInTheKnownBand) {
  const std::map<std::string, std::pair<double, double>> bands = {
      // The allowed range of the singular values of an update, for each way to compute it.
      {R"("ns_coefficients": "keller", "ns_steps": 5)", {0.68, 1.137}},
      {R"("ns_coefficients": "quintic", "ns_steps": 5)", {0.975, 1.034}},
      {R"("ns_coefficients": "polar_express", "ns_steps": 8)", {0.998, 1.002}},
      {R"("ns_coefficients": "polar_express_5", "ns_steps": 5)", {0.856, 1.144}},
      {R"("ns_coefficients": "cans", "ns_steps": 5)", {0.882, 1.122}},
      {R"("ns_coefficients": "aol", "ns_steps": 4)", {0.91, 1.087}},
      {R"("ns_coefficients": "cubic", "ns_steps": 5)", {0.772, 1.302}},
      {R"("ns_coefficients": "deepseekv4", "ns_steps": 10)", {0.998, 1.002}},
      {R"("ns_coefficients": "track3", "ns_steps": 12)", {0.998, 1.002}},
      {R"("direction": "polar")", {0.9999, 1.0001}}};
  for (auto [rows, cols] : {std::pair<int64_t, int64_t>{24, 24}, {40, 12}, {12, 40}, {1, 9}, {9, 1}})
    for (const auto& [switches, band] : bands)
      for (const char* transpose : {"true", "false"}) {
        if (std::string(transpose) == "false" && rows > cols) continue;
        Trained x = one_matrix(
            recipe("muon", R"("shape_scale": "none", "ns_transpose": )" + std::string(transpose) + ", " + switches),
            rows, cols);
        x.start();
        // Some singular values of a random square matrix are nearly 0; a dominant diagonal keeps them larger.
        Floats g = normal_floats(rows * cols, 70, 0.15);
        for (int64_t i = 0; i < std::min(rows, cols); ++i) g[i * cols + i] += 2;
        for (double s : singular_values(direction(x, 0, g), rows, cols)) {
          EXPECT_GT(s, band.first) << switches << " " << rows << "x" << cols;
          EXPECT_LT(s, band.second) << switches << " " << rows << "x" << cols;
        }
      }
}

// Weights with fp32 masters are not tested here.
TEST(EveryRecipe, BearsZerosThinMatricesAndExtremes) {
  std::vector<std::string> configs = {
      R"({"name": "rmnp", "direction_precision": "bf16"})", R"({"name": "muon", "direction": "polar"})",
      R"({"name": "normuon", "variant": "paper"})", R"({"name": "namo-d", "clamp": null, "adapt_eps_inside": true})",
      R"({"name": "recipe", "project": "columns", "direction": "column_normalize", "shape_scale": "rms"})"};
  for (const std::string& name : recipe_names()) configs.push_back(R"({"name": ")" + name + R"("})");
  for (const std::string& config : configs)
    for (double scale : {0.0, 1.0, 1e-42, 1e-20, 1e18, 1e30})
      for (auto kind : {Trained::Weights::f32, Trained::Weights::bf16}) {
        Trained x(config, kind);
        for (auto shape : std::vector<std::vector<int64_t>>{{1, 9}, {9, 1}, {1, 1}, {6, 4}, {4, 6}})
          x.add(fmt::format("w{}x{}", shape[0], shape[1]), Role::matrix, shape);
        x.add("norm", Role::norm, {5});
        x.start();
        for (int t = 0; t < 3; ++t) {
          Floats g = normal_floats(x.table().elements(), 80 + t, scale);
          const Parameter& p = x.table().find("w6x4");
          for (int64_t j = 0; j < 4; ++j) g[p.offset + j] = 0;  // a zero row
          x.step(t, g);
        }
        for (float w : x.values()) ASSERT_TRUE(std::isfinite(w)) << config << ", gradients of size " << scale;
      }
}

// If updates of the first steps are skipped, the first update is that of a later step. Momentum that changes during a
// run depends on the step, so recipes with such momentum are left out.
TEST(EveryRecipe, StartsAtTheFirstUpdate) {
  for (const std::string& name : recipe_names()) {
    if (named_recipe(name).momentum_course.steps > 0) continue;
    Trained early(recipe(name.c_str()), 12, 20), late(recipe(name.c_str()), 12, 20);
    early.start();
    late.start();
    for (int t = 0; t < 4; ++t) {
      const Floats gradient = normal_floats(240, 300 + t);
      early.step(t, gradient);
      late.step(t + 5, gradient);
    }
    EXPECT_EQ(early.values(), late.values()) << name;
    EXPECT_EQ(late.optimizer->updates(), 4);
  }
}

TEST(EveryRecipe, DoesNotDependOnTheBatch) {
  for (const std::string& name : recipe_names()) {
    Trained together(R"({"name": ")" + name + R"("})");
    for (int i = 0; i < 3; ++i) together.add(fmt::format("w{}", i), Role::matrix, {12, 20});
    together.start();
    together.steps(3);
    const Floats all = together.values();
    for (int i = 0; i < 3; ++i) {
      Trained alone(R"({"name": ")" + name + R"("})");
      alone.add("w", Role::matrix, {12, 20});
      alone.start();
      const Parameter& p = together.table().parameters()[i];
      const Floats initial = normal_floats(together.table().elements(), 5, 0.1);
      alone.backend().upload(alone.weights, initial.data() + p.offset);
      for (int t = 0; t < 3; ++t) {
        const Floats g = normal_floats(together.table().elements(), 100 + t);
        alone.step(t, Floats(g.begin() + p.offset, g.begin() + p.offset + p.numel()));
      }
      EXPECT_EQ(alone.values(), Floats(all.begin() + p.offset, all.begin() + p.offset + p.numel())) << name;
    }
  }
}

TEST(EveryRecipe, GivesTheSameBitsInShares) {
  for (const std::string& name : recipe_names()) {
    const Atom atom = named_recipe(name).atom();
    if (atom == Atom::matrix) continue;
    for (auto kind : {Trained::Weights::f32, Trained::Weights::masters, Trained::Weights::bf16}) {
      const std::string config = R"({"name": ")" + name + R"(", "rounding": "stochastic"})";
      Trained whole(config, kind), cut(config, kind);
      for (Trained* x : {&whole, &cut}) x->add("w", Role::matrix, {12, 20});
      whole.start();
      if (atom == Atom::row)
        cut.start({{0, 100}, {100, 20}, {120, 120}});
      else
        cut.start({{0, 7}, {7, 130}, {137, 103}});
      // MARS-AdamW clips by a norm that is summed over the shares, so its rounding depends on the shares. Small
      // gradients are not clipped.
      const double scale = name == "mars-adamw" ? 0.02 : 1;
      whole.steps(4, scale);
      cut.steps(4, scale);
      EXPECT_EQ(whole.values(), cut.values()) << name;
    }
  }
}

TEST(Mars, ClipsSharesAsOneMatrix) {
  Trained whole = one_matrix(recipe("mars-adamw"), 12, 20), cut = one_matrix(recipe("mars-adamw"), 12, 20);
  whole.start();
  cut.start({{0, 7}, {7, 130}, {137, 103}});
  for (int t = 0; t < 4; ++t) {
    const Floats g = normal_floats(240, 100 + t, 1 + t);
    whole.step(t, g, 1, 0.3f);
    cut.step(t, g, 1, 0.3f);
  }
  EXPECT_LT(largest_difference(whole.values(), cut.values()), 1e-7);
}

TEST(Mars, SumsOfGradientsThatAreNotFiniteChangeNothing) {
  Trained x = one_matrix(recipe("mars-adamw"), 6, 8), other = one_matrix(recipe("mars-adamw"), 6, 8);
  for (Trained* trained : {&x, &other}) {
    trained->start();
    trained->steps(2);
  }
  for (float bad : {NAN, INFINITY}) {
    x.backend().upload(x.gradients, Floats(48, bad).data());
    x.optimizer->sums();
  }
  for (Trained* trained : {&x, &other}) trained->step(2, normal_floats(48, 7));
  EXPECT_EQ(x.values(), other.values());
}

TEST(EveryRecipe, StateIsNamedByParameter) {
  for (const std::string& name : recipe_names()) {
    Trained x(R"({"name": ")" + name + R"("})");
    x.add("a", Role::matrix, {4, 6});
    x.add("b", Role::norm, {6});
    x.start();
    std::map<std::string, int> seen;
    for (const StateTensor& s : x.optimizer->state()) {
      EXPECT_EQ(s.name, s.parameter->name + "." + s.kind);
      EXPECT_EQ(++seen[s.name], 1) << s.name;
      if (s.count) {
        EXPECT_EQ(s.count, s.tensor.numel());
      }
    }
    EXPECT_GE(seen.size(), 2u) << name;
  }
}

TEST(Fused, EqualsItsStages) {
  // An equilibration whose factors are all 1 makes the same rule run as separate stages.
  for (const char* name : {"rmnp", "nora", "mano", "mano-v2"}) {
    Trained fused = one_matrix(recipe(name), 12, 20);
    Trained staged = one_matrix(recipe(name, R"("equilibrate": "row", "equilibrate_exponent": 0)"), 12, 20);
    fused.start();
    staged.start();
    fused.steps(4);
    staged.steps(4);
    EXPECT_LT(largest_difference(fused.values(), staged.values()), 2e-7) << name;
  }
}

TEST(PureBf16, WeightDecayRoundsAway) {
  // A step subtracts lr * weight_decay * weight, which is 5e-4 * weight. This is less than half a unit in the weight's
  // last place in bf16.
  const std::string config = R"({"name": "adamw", "lr": 5e-3, "weight_decay": 0.1, "rounding": "nearest"})";
  Trained x(config, Trained::Weights::bf16);
  x.add("w", Role::matrix, {8, 8});
  x.start();
  const Floats before = x.values();
  for (int t = 0; t < 50; ++t) x.step(t, Floats(64, 0.0f));
  EXPECT_EQ(x.values(), before);

  Trained masters(config, Trained::Weights::masters);
  masters.add("w", Role::matrix, {8, 8});
  masters.start();
  const Floats start = masters.values();
  for (int t = 0; t < 50; ++t) masters.step(t, Floats(64, 0.0f));
  const Floats after = masters.values();
  for (size_t i = 0; i < 64; ++i) EXPECT_NEAR(after[i], start[i] * std::pow(1 - 5e-4, 50), 1e-6);
}

TEST(PureBf16, StochasticRoundingKeepsTheMean) {
  Trained x(R"({"name": "sgdm", "lr": 1e-3, "momentum": 0, "rounding": "stochastic"})", Trained::Weights::bf16);
  x.add("w", Role::matrix, {64, 64});
  x.start();
  const Floats before = x.values();
  const int steps = 100;
  for (int t = 0; t < steps; ++t) x.step(t, Floats(before.size(), 0.1f));
  const Floats after = x.values();
  double moved = 0;
  for (size_t i = 0; i < after.size(); ++i) moved += (double{before[i]} - after[i]) / static_cast<double>(after.size());
  EXPECT_NEAR(moved, steps * 1e-4, 2e-4);
}

TEST(GradScale, IsTheClippingCoefficient) {
  for (const std::string& name : {std::string("adamw"), std::string("namo-d"), std::string("mars-adamw")}) {
    Trained plain = one_matrix(recipe(name), 6, 8), clipped = one_matrix(recipe(name), 6, 8);
    plain.start();
    clipped.start();
    for (int t = 0; t < 3; ++t) {
      Floats g = normal_floats(48, 90 + t);
      clipped.step(t, g, 1, 0.25f);
      for (float& value : g) value *= 0.25f;
      plain.step(t, g);
    }
    EXPECT_LT(largest_difference(plain.values(), clipped.values()), 1e-7) << name;
  }
}

// Compares a 4 x 3 matrix after three steps with weights from the formulas of the released code.
TEST(Namo, CheckVector) {
  const std::map<std::string, Floats> expected = {
      {"namo",
       {0.088585225f, -0.071256301f, 0.058904567f, 0.099197670f, -0.090162306f, 0.093149039f, 0.063600413f,
        -0.071843424f, 0.076565798f, -0.000685735f, -0.025316125f, 0.017317040f}},
      {"namo-d",
       {0.088867515f, -0.071641312f, 0.059293397f, 0.099173302f, -0.090588158f, 0.093475868f, 0.063371178f,
        -0.071828173f, 0.076890873f, -0.000917213f, -0.024594936f, 0.017701471f}}};
  const double alphas[] = {1.949994774, 1.410131377, 1.231832342};
  for (const auto& [name, weights] : expected) {
    std::string config = R"({"name": ")" + name + R"(", "lr": 0.01, "weight_decay": 0.1, "telemetry_every": 1)";
    Trained x(config + (name == "namo-d" ? R"(, "clamp": 0.9})" : "}"), 4, 3);
    x.start();
    auto fill = [](auto f) {
      Floats values;
      for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 3; ++j) values.push_back(static_cast<float>(f(i, j)));
      return values;
    };
    const Floats initial = fill([](int i, int j) { return 0.1 * std::sin(1.0 + 7 * i + 3 * j); });
    x.backend().upload(x.weights, initial.data());
    for (int t = 1; t <= 3; ++t) {
      x.step(t - 1, fill([t](int i, int j) {
               const double sign = j == 1 && t % 2 ? -1 : 1;
               return 0.01 * std::sin(1.0 + 10 * t + 7 * i + 3 * j) * sign + (j == 2 ? 0.02 : 0);
             }));
      for (const Metric& metric : x.optimizer->telemetry())
        if (metric.name == "mean/alpha" && name == "namo") {
          EXPECT_NEAR(metric.value, alphas[t - 1], 1e-5);
        }
    }
    EXPECT_LT(largest_difference(x.values(), weights), 2e-6) << name;
  }
}

TEST(Shares, MustBeWholeAtoms) {
  Trained muon = one_matrix(recipe("muon"), 6, 8);
  EXPECT_THROW(muon.start({{0, 24}}), Error);
  Trained rmnp = one_matrix(recipe("rmnp"), 6, 8);
  EXPECT_THROW(rmnp.start({{0, 12}}), Error);
}

}  // namespace
}  // namespace rowan::test

// Compares the telemetry of optimizers with the definitions of the metrics. Telemetry must not change the weights.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "kernels/thread_pool.h"
#include "unit/optim/optimizer_bench.h"

namespace rowan::test {
namespace {

TEST(Telemetry, FiguresOfKnownMatrices) {
  // diag(4, 2, 1), and a zero column.
  const Floats diagonal = {4, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0};
  ThreadPool alone(1);
  const Spectrum s = spectrum(diagonal, 3, 4, alone);
  EXPECT_NEAR(s.stable_rank, 21.0 / 16, 1e-9);
  EXPECT_NEAR(s.condition, 4, 1e-9);
  EXPECT_TRUE(std::isinf(spectrum({1, 2, 2, 4}, 2, 2, alone).condition));
  // The Gram matrices of the rows and of the columns are both [[5, 4], [4, 5]].
  const Dominance d = diagonal_dominance({1, 2, 2, 1}, 2, 2, alone);
  EXPECT_NEAR(d.min, 1.25, 1e-9);
  EXPECT_NEAR(d.mean, 1.25, 1e-9);
  EXPECT_NEAR(d.max, 1.25, 1e-9);
}

TEST(Telemetry, FiguresEqualTheirDefinitions) {
  for (const auto& shape : {std::pair<int64_t, int64_t>{5, 8}, {8, 5}}) {
    const int64_t rows = shape.first, cols = shape.second;
    const double c = 0.9, beta2 = 0.9, mu = 0.95;
    Trained x = one_matrix(
        recipe("namo-d", R"("equilibrate": "row", "clamp": 0.9, "beta2": 0.9, "telemetry_every": 1)"), rows, cols);
    x.start();
    const Floats before = x.values(), g = normal_floats(rows * cols, 21);
    x.step(0, g);
    const Floats after = x.values();
    std::map<std::string, double> got;
    for (const Metric& metric : x.optimizer->telemetry()) got[metric.name] = metric.value;

    Floats u(g), balanced(g);  // the Nesterov buffer is a multiple of the first gradient
    for (float& value : u) value *= static_cast<float>(1 - mu * mu);
    for (int64_t i = 0; i < rows; ++i) {
      const double size = std::sqrt(dot(u.data() + i * cols, u.data() + i * cols, cols));
      for (int64_t j = 0; j < cols; ++j) balanced[i * cols + j] = static_cast<float>(u[i * cols + j] / size);
    }
    auto expect_spectrum = [&](const Floats& m, const std::string& suffix) {
      std::vector<double> s = singular_values(m, rows, cols);
      std::sort(s.begin(), s.end());
      double squares = 0;
      for (double value : s) squares += value * value;
      EXPECT_NEAR(got.at("mean/stable_rank" + suffix), squares / (s.back() * s.back()), 1e-5);
      EXPECT_NEAR(got.at("mean/condition" + suffix) / (s.back() / s.front()), 1, 1e-4);
    };
    expect_spectrum(u, "");
    expect_spectrum(balanced, "_balanced");

    // Dominance is defined for the rows of the matrix, or for its columns if there are fewer columns than rows.
    const int64_t side = std::min(rows, cols), length = std::max(rows, cols);
    auto at = [&](int64_t i, int64_t k) { return double{rows <= cols ? u[i * cols + k] : u[k * cols + i]}; };
    double low = 1e30, high = 0, mean = 0;
    for (int64_t i = 0; i < side; ++i) {
      double own = 0, others = 0;
      for (int64_t j = 0; j < side; ++j) {
        double product = 0;
        for (int64_t k = 0; k < length; ++k) product += at(i, k) * at(j, k);
        (i == j ? own : others) += i == j ? product : std::fabs(product) / static_cast<double>(side - 1);
      }
      low = std::min(low, own / others);
      high = std::max(high, own / others);
      mean += own / others / static_cast<double>(side);
    }
    EXPECT_NEAR(got.at("a.weight/dominance_min"), low, 1e-4 * low);
    EXPECT_NEAR(got.at("a.weight/dominance_mean"), mean, 1e-4 * mean);
    EXPECT_NEAR(got.at("a.weight/dominance_max"), high, 1e-4 * high);

    double norm = 0, angle = 0;
    for (int64_t i = 0; i < rows; ++i) {
      const float *a = before.data() + i * cols, *b = after.data() + i * cols;
      norm += std::sqrt(dot(b, b, cols)) / static_cast<double>(rows);
      angle += std::acos(dot(a, b, cols) / std::sqrt(dot(a, a, cols) * dot(b, b, cols))) / static_cast<double>(rows);
    }
    EXPECT_NEAR(got.at("a.weight/row_norm"), norm, 1e-6);
    EXPECT_NEAR(got.at("a.weight/angular_velocity"), angle, 1e-5);

    std::vector<double> q;  // |u_:j| / sqrt(v_j) is equal for all columns after one step, except for eps
    for (int64_t j = 0; j < cols; ++j) {
      double square = 0;
      for (int64_t i = 0; i < rows; ++i) square += double{g[i * cols + j]} * g[i * cols + j];
      q.push_back((1 - mu * mu) * std::sqrt(square) / (std::sqrt((1 - beta2) * square) + 1e-8));
    }
    EXPECT_NEAR(got.at("a.weight/alpha"), std::sqrt(1 - beta2) / (1 - mu) * q[0], 1e-4);
    EXPECT_EQ(got.at("a.weight/clamp_rate"), 0);

    // A second gradient, whose columns have very different norms. clamp_rate is the share of columns that the clamp
    // changes.
    Floats second = normal_floats(rows * cols, 22);
    for (int64_t i = 0; i < rows * cols; ++i) second[i] *= std::pow(4.0f, static_cast<float>(i % cols));
    x.step(1, second);
    double average = 0;
    for (int64_t j = 0; j < cols; ++j) {
      double square = 0, first = 0, next = 0;
      for (int64_t i = 0; i < rows; ++i) {
        const double one = g[i * cols + j], two = second[i * cols + j];
        const double buffer = mu * (1 - mu) * one + (1 - mu) * two, ahead = (1 - mu) * two + mu * buffer;
        square += ahead * ahead;
        first += one * one;
        next += two * two;
      }
      q[j] = std::sqrt(square) / (std::sqrt(beta2 * (1 - beta2) * first + (1 - beta2) * next) + 1e-8);
      average += q[j] / static_cast<double>(cols);
    }
    double clamped = 0, alpha = 0;
    for (double value : q) {
      clamped += (value < c * average || value > average / c) ? 1.0 / static_cast<double>(cols) : 0;
      alpha += std::clamp(value, c * average, average / c) / static_cast<double>(cols);
    }
    for (const Metric& metric : x.optimizer->telemetry()) got[metric.name] = metric.value;
    EXPECT_GT(clamped, 0);
    EXPECT_NEAR(got.at("a.weight/clamp_rate"), clamped, 1e-9);
    EXPECT_NEAR(got.at("a.weight/alpha"), alpha * std::sqrt(1 - beta2 * beta2) / (1 - mu * mu), 1e-4);
  }
}

// The look-ahead and the bias correction use the momentum of the step, not the final momentum of the schedule.
TEST(Telemetry, FollowsTheMomentumsSchedule) {
  constexpr int64_t rows = 6, cols = 4;
  auto measured = [&](const std::string& momentum) {
    Trained x = one_matrix(recipe("muon", R"("telemetry_every": 1, "momentum": )" + momentum), rows, cols);
    x.start();
    x.step(0, normal_floats(rows * cols, 31));
    x.step(1, normal_floats(rows * cols, 32));
    std::map<std::string, double> values;
    for (const Metric& metric : x.optimizer->telemetry()) values[metric.name] = metric.value;
    return values;
  };
  const auto expected = measured("0.5"), got = measured(R"({"from": 0.5, "to": 0.9, "steps": 1000000000})");
  ASSERT_FALSE(expected.empty());
  for (const auto& [name, value] : expected) EXPECT_NEAR(got.at(name), value, 1e-6 * std::fabs(value)) << name;
}

// alpha is that of the factors that the step used, or is left out if other stages change the update before them.
TEST(Telemetry, AlphaBelongsToTheStep) {
  constexpr int64_t rows = 6, cols = 4;
  auto measured = [&](const std::string& switches) {
    Trained x = one_matrix(
        recipe("namo", R"("direction": "sign", "shape_scale": "none", "telemetry_every": 1, )" + switches), rows, cols);
    x.start();
    std::map<std::string, double> values;
    Floats before;
    for (int t = 0; t < 2; ++t) {
      before = x.values();
      x.step(t, normal_floats(rows * cols, 31 + static_cast<uint64_t>(t)));
    }
    for (const Metric& metric : x.optimizer->telemetry()) values[metric.name] = metric.value;
    values["step"] = std::fabs(double{x.values()[0]} - before[0]) / 0.01;  // without decay, lr times alpha
    return values;
  };
  for (const char* form : {R"("form": "none")", R"("form": "heavy_ball", "momentum": 0.5)",
                           R"("form": "ema", "momentum": 0.9, "beta": 0.5)"}) {
    const auto values = measured(form);
    EXPECT_NEAR(values.at("a.weight/alpha"), values.at("step"), 1e-4 * values.at("step")) << form;
  }
  for (const char* stage : {R"("project": "rows")", R"("slow_beta": 0.99, "slow_alpha": 2)", R"("mars_gamma": 0.025)",
                            R"("select_fraction": 0.5)", R"("momentum_last": true)"}) {
    const auto values = measured(stage);
    EXPECT_FALSE(values.contains("a.weight/alpha")) << stage;
    EXPECT_TRUE(values.contains("a.weight/stable_rank")) << stage;
  }
}

// The two equilibrations `row` and `row_mean` differ where eps is large compared with a row. `row` adds eps to the sum
// of squares. `row_mean` raises a smaller sum of squares to eps^2.
TEST(Telemetry, MeasuresWhatTheStageMakes) {
  constexpr int64_t rows = 5, cols = 8;
  Floats g = normal_floats(rows * cols, 23);
  for (int64_t j = 0; j < 2 * cols; ++j) g[j] *= 0.02f;
  auto measured = [&](const std::string& switches) {
    Trained x = one_matrix(recipe("muon", R"("momentum": 0, "telemetry_every": 1, )" + switches), rows, cols);
    x.start();
    x.step(0, g);
    for (const Metric& metric : x.optimizer->telemetry())
      if (metric.name == "mean/condition_balanced") return metric.value;
    return 0.0;
  };
  auto condition = [&](const std::function<double(double)>& factor) {
    Floats m = g;
    for (int64_t i = 0; i < rows; ++i) {
      const double by = factor(dot(&g[i * cols], &g[i * cols], cols));
      for (int64_t j = 0; j < cols; ++j) m[i * cols + j] *= static_cast<float>(by);
    }
    const std::vector<double> s = singular_values(m, rows, cols);
    return *std::max_element(s.begin(), s.end()) / *std::min_element(s.begin(), s.end());
  };
  EXPECT_NEAR(measured(R"("equilibrate": "row_mean", "equilibrate_eps": 0.1)") /
                  condition([](double square) { return 1 / std::sqrt(std::max(square, 1e-2)); }),
              1, 1e-3);
  EXPECT_NEAR(measured(R"("equilibrate": "row", "equilibrate_eps": 0.1)") /
                  condition([](double square) { return 1 / std::sqrt(square + 0.1); }),
              1, 1e-3);
  EXPECT_NEAR(measured(R"("equilibrate": "row", "equilibrate_clip": 2)") /
                  condition([](double square) { return std::clamp(1 / std::sqrt(square), 0.5, 2.0); }),
              1, 1e-3);
}

TEST(Telemetry, IsMeasuredAtItsIntervalAndChangesNothing) {
  const std::string switches = R"("equilibrate": "row", "telemetry_every": 2)";
  Trained watched = one_matrix(recipe("namo-d", switches), 12, 8);
  Trained plain = one_matrix(recipe("namo-d", R"("equilibrate": "row")"), 12, 8);
  watched.start();
  plain.start();
  for (int t = 0; t < 3; ++t) {
    watched.step(t, normal_floats(96, 20 + t));
    plain.step(t, normal_floats(96, 20 + t));
    std::map<std::string, double> values;
    for (const Metric& metric : watched.optimizer->telemetry()) values[metric.name] = metric.value;
    EXPECT_EQ(values.empty(), t == 2) << "steps 1, 2, 4, ... as the log has them";
    if (t == 0) {
      EXPECT_NEAR(values.at("mean/alpha"), 1.95, 1e-3);  // (1 - mu^2) / (1 - mu) at the first step
      EXPECT_GT(values.at("a.weight/angular_velocity"), 0);
      EXPECT_LT(values.at("a.weight/condition_balanced"), 1e3);
      EXPECT_GE(values.at("a.weight/clamp_rate"), 0);
    }
  }
  EXPECT_EQ(watched.values(), plain.values());
  EXPECT_TRUE(plain.optimizer->telemetry().empty()) << "off by default";
}

TEST(Telemetry, NoraTurnsByTheStepOverTheNorm) {
  Trained x = one_matrix(recipe("nora", R"("telemetry_every": 1)"), 6, 16);
  x.start();
  const Floats before = x.values();
  x.step(0, normal_floats(96, 3));
  double want = 0;
  for (int i = 0; i < 6; ++i)
    want += std::atan(0.01 / std::sqrt(dot(before.data() + 16 * i, before.data() + 16 * i, 16))) / 6;
  std::map<std::string, double> values;
  for (const Metric& metric : x.optimizer->telemetry()) values[metric.name] = metric.value;
  EXPECT_NEAR(values.at("mean/angular_velocity"), want, 1e-5);
}

}  // namespace
}  // namespace rowan::test

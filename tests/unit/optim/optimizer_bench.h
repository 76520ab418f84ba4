// For tests, the class Trained runs an optimizer on a small set of parameters. Further functions compute eigenvalues
// and singular values of small matrices.
#pragma once

#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/random.h"
#include "kernels/backend.h"
#include "optim/optimizer.h"

namespace rowan::test {

inline OptimizerConfig optimizer_config(const std::string& text) {
  auto source = std::make_shared<JsonSource>(JsonSource{"test.json", text});
  Json json = parse_json(*source);
  return parse_optimizer(JsonObject(source, json));
}

using Floats = std::vector<float>;

inline Floats normal_floats(int64_t count, uint64_t seed, double scale = 1) {
  Random random(seed, 0);
  Floats values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(scale * random.normal());
  return values;
}

// An optimizer on the CPU that updates fp32 weights, or bf16 weights with or without masters. Parameters can be cut
// into shares at any element.
class Trained {
 public:
  enum class Weights { f32, masters, bf16 };
  struct Cut {
    int64_t begin, count;
  };

  explicit Trained(const std::string& config, Weights kind = Weights::f32)
      : config_(optimizer_config(config)), kind_(kind), arena_(*backend_, Category::weights) {}

  // Adds one matrix.
  Trained(const std::string& config, int64_t rows, int64_t cols) : Trained(config) {
    add("a.weight", Role::matrix, {rows, cols});
  }

  void add(const std::string& name, Role role, std::vector<int64_t> shape, int64_t head_cols = 0) {
    Parameter parameter{name, role, std::move(shape)};
    parameter.head_cols = head_cols;
    table_.add(parameter);
  }

  // `cuts`: the parts of every parameter that become shares; empty: one share for each parameter.
  void start(const std::vector<Cut>& cuts = {}) {
    const DType dtype = kind_ == Weights::f32 ? DType::f32 : DType::bf16;
    weights = arena_.take(dtype, {table_.elements()});
    gradients = arena_.take(DType::f32, {table_.elements()});
    if (kind_ == Weights::masters) masters = arena_.take(DType::f32, {table_.elements()});
    set(normal_floats(table_.elements(), 5, 0.1));
    std::vector<Share> shares;
    for (const Parameter& p : table_.parameters())
      for (Cut cut : cuts.empty() ? std::vector<Cut>{{0, p.numel()}} : cuts) {
        Share share;
        share.parameter = &p;
        share.begin = cut.begin;
        share.count = cut.count;
        auto part = [&](Tensor flat) { return flat.slice(p.offset + cut.begin, cut.count); };
        share.weight = part(weights);
        if (kind_ == Weights::masters) share.master = part(masters);
        share.gradient = part(gradients);
        shares.push_back(share);
      }
    optimizer = std::make_unique<Optimizer>(*backend_, config_, shares, 3);
  }

  void set(const Floats& values) {
    backend_->upload(gradients, values.data());
    backend_->copy(weights, gradients);
    if (kind_ == Weights::masters) backend_->copy(masters, gradients);
  }
  void step(int64_t t, const Floats& gradient, double lr = 1, float grad_scale = 1) {
    backend_->upload(gradients, gradient.data());
    optimizer->step(t, lr, grad_scale);
  }
  void steps(int count, double scale = 1) {
    for (int t = 0; t < count; ++t) step(t, normal_floats(table_.elements(), 100 + static_cast<uint64_t>(t), scale));
  }
  Floats values() const {
    Floats result(static_cast<size_t>(table_.elements()));
    Tensor out(result.data(), DType::f32, {table_.elements()});
    backend_->copy(out, kind_ == Weights::masters ? masters : weights);
    return result;
  }
  const ParameterTable& table() const { return table_; }
  Backend& backend() { return *backend_; }

  Tensor weights, masters, gradients;

 private:
  OptimizerConfig config_;
  Weights kind_;
  std::unique_ptr<Backend> backend_ = make_cpu_backend(1);
  ParameterTable table_;
  Arena arena_;

 public:
  std::unique_ptr<Optimizer> optimizer;  // last, because its destructor uses the backend
};

inline double dot(const float* a, const float* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += double{a[i]} * b[i];
  return sum;
}

inline std::string recipe(const std::string& name, const std::string& more = "") {
  return R"({"name": ")" + name + R"(", "lr": 0.01, "weight_decay": 0)" + (more.empty() ? "" : ", " + more) + "}";
}

inline Trained one_matrix(const std::string& config, int64_t rows, int64_t cols) { return Trained(config, rows, cols); }

// Eigenvalues of a small symmetric matrix by Jacobi's rotations.
inline std::vector<double> eigenvalues(std::vector<double> a, int64_t n) {
  for (int sweep = 0; sweep < 40; ++sweep)
    for (int64_t p = 0; p < n; ++p)
      for (int64_t q = p + 1; q < n; ++q) {
        if (std::fabs(a[p * n + q]) < 1e-300) continue;
        const double theta = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
        const double t = (theta >= 0 ? 1 : -1) / (std::fabs(theta) + std::sqrt(theta * theta + 1));
        const double c = 1 / std::sqrt(t * t + 1), s = t * c;
        for (int64_t k = 0; k < n; ++k) {
          const double x = a[k * n + p], y = a[k * n + q];
          a[k * n + p] = c * x - s * y;
          a[k * n + q] = s * x + c * y;
        }
        for (int64_t k = 0; k < n; ++k) {
          const double x = a[p * n + k], y = a[q * n + k];
          a[p * n + k] = c * x - s * y;
          a[q * n + k] = s * x + c * y;
        }
      }
  std::vector<double> values;
  for (int64_t i = 0; i < n; ++i) values.push_back(a[i * n + i]);
  return values;
}

inline std::vector<double> singular_values(const Floats& m, int64_t rows, int64_t cols) {
  const bool tall = rows > cols;
  const int64_t n = std::min(rows, cols), length = std::max(rows, cols);
  std::vector<double> gram(static_cast<size_t>(n * n));
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j)
      for (int64_t k = 0; k < length; ++k)
        gram[i * n + j] +=
            double{tall ? m[k * cols + i] : m[i * cols + k]} * (tall ? m[k * cols + j] : m[j * cols + k]);
  std::vector<double> values = eigenvalues(gram, n);
  for (double& value : values) value = std::sqrt(std::max(0.0, value));
  return values;
}

}  // namespace rowan::test

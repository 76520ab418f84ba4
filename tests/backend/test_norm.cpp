// Tests RMSNorm and LayerNorm with the residual add, forward and backward, against float64. A NaN must not spread to
// other rows.
#include <cmath>
#include <tuple>

#include "suite.h"

namespace rowan::test {
namespace {

constexpr double eps = 1e-5;

struct Statistics {
  Doubles mean, rstd;
};

Statistics statistics(Norm kind, const Doubles& r, int64_t width) {
  Statistics result;
  for (size_t row = 0; row < r.size(); row += static_cast<size_t>(width)) {
    double mean = 0, square = 0;
    if (kind == Norm::layer)
      for (int64_t i = 0; i < width; ++i) mean += r[row + i] / static_cast<double>(width);
    for (int64_t i = 0; i < width; ++i)
      square += (r[row + i] - mean) * (r[row + i] - mean) / static_cast<double>(width);
    result.mean.push_back(mean);
    result.rstd.push_back(1 / std::sqrt(square + static_cast<double>(static_cast<float>(eps))));
  }
  return result;
}

Doubles normalized(Norm kind, const Doubles& r, const Doubles& weight, const Doubles& bias) {
  int64_t width = static_cast<int64_t>(weight.size());
  Statistics s = statistics(kind, r, width);
  Doubles out = r;
  for (size_t i = 0; i < out.size(); ++i) {
    size_t row = i / weight.size(), c = i % weight.size();
    out[i] = (r[i] - s.mean[row]) * s.rstd[row] * weight[c] + (bias.empty() ? 0.0 : bias[c]);
  }
  return out;
}

class Norms : public testing::TestWithParam<std::tuple<DType, Norm>> {
 protected:
  DType dtype() const { return std::get<0>(GetParam()); }
  Norm kind() const { return std::get<1>(GetParam()); }
  // Dtypes of the residual stream and of the norm's result.
  std::vector<std::pair<DType, DType>> streams() const {
    if (dtype() == DType::f32) return {{DType::f32, DType::f32}};
    return {{DType::bf16, DType::bf16}, {DType::f32, DType::bf16}, {DType::f32, DType::f32}};
  }
};

TEST_P(Norms, Forward) {
  for (auto [rows, width] :
       {std::pair<int64_t, int64_t>{1, 1}, {3, 15}, {5, 16}, {2, 67}, {7, 300}, {2, 771}, {2, 5461}})
    for (bool branched : {false, true})
      for (bool biased : {false, true})
        for (auto [stream, result] : streams()) {
          Buffer residual(stream, {rows, width}, 1, 2.0), branch(dtype(), {rows, width}, 2), sum(stream, {rows, width});
          Buffer weight(dtype(), {width}, 3), bias(dtype(), {width}, 4), out(result, {rows, width});
          Buffer mean(DType::f32, {rows}), rstd(DType::f32, {rows});
          backend().norm_forward({.kind = kind(),
                                  .out = out,
                                  .sum = branched ? sum.tensor() : Tensor(),
                                  .mean = kind() == Norm::layer ? mean.tensor() : Tensor(),
                                  .rstd = rstd,
                                  .residual = residual,
                                  .branch = branched ? branch.tensor() : Tensor(),
                                  .weight = weight,
                                  .bias = biased ? bias.tensor() : Tensor(),
                                  .eps = static_cast<float>(eps)});
          Doubles r = residual.given();
          if (branched) {
            r = plus(r, branch.given());
            expect_close(sum.read(), r, stream, "sum");
            r = sum.read();  // the norm's input is the rounded sum
          }
          Statistics s = statistics(kind(), r, width);
          expect_close(rstd.read(), s.rstd, DType::f32, "rstd");
          if (kind() == Norm::layer) expect_close(mean.read(), s.mean, DType::f32, "mean");
          expect_close(out.read(), normalized(kind(), r, weight.given(), biased ? bias.given() : Doubles()), result,
                       "out");
        }
}

TEST_P(Norms, Backward) {
  for (auto [rows, width] : {std::pair<int64_t, int64_t>{1, 3}, {3, 15}, {5, 16}, {35, 17}, {1, 300}})
    for (bool biased : {false, true})
      for (bool accumulate : {false, true})
        for (DType gradient : {DType::f32, DType::bf16})
          for (auto [stream, result] : streams()) {
            Buffer r(stream, {rows, width}, 1, 2.0), weight(dtype(), {width}, 3), dout(result, {rows, width}, 5);
            Buffer d_residual(stream, {rows, width}, 6), d_weight(gradient, {width}, 7), d_bias(gradient, {width}, 8);
            Statistics s = statistics(kind(), r.given(), width);
            Buffer mean(DType::f32, {rows}, s.mean), rstd(DType::f32, {rows}, s.rstd);
            backend().norm_backward({.kind = kind(),
                                     .d_residual = d_residual,
                                     .d_weight = d_weight,
                                     .d_bias = biased ? d_bias.tensor() : Tensor(),
                                     .dout = dout,
                                     .r = r,
                                     .weight = weight,
                                     .mean = kind() == Norm::layer ? mean.tensor() : Tensor(),
                                     .rstd = rstd,
                                     .accumulate = accumulate});
            Doubles none,
                want = numeric_gradient([&](const Doubles&x) { return normalized(kind(), x, weight.given(), none); },
                                        r.given(), dout.given());
            if (accumulate) want = plus(want, d_residual.given());
            expect_close(d_residual.read(), want, stream, "d_residual", stream == DType::f32 ? 2e-5 : 0);
            Doubles d_w = numeric_gradient([&](const Doubles& w) { return normalized(kind(), r.given(), w, none); },
                                           weight.given(), dout.given());
            expect_close(d_weight.read(), plus(d_w, d_weight.given()), gradient, "d_weight");
            Doubles d_b = d_bias.given();
            for (size_t i = 0; biased && i < dout.given().size(); ++i) d_b[i % d_b.size()] += dout.given()[i];
            expect_close(d_bias.read(), d_b, gradient, "d_bias");
          }
}

// The gradient with respect to r, if dout is the gradient with respect to the norm's result.
Doubles derivative(Norm kind, const Doubles& r, const Doubles& weight, const Doubles& dout, const Statistics& s) {
  const size_t width = weight.size();
  Doubles result(r.size());
  for (size_t row = 0; row < r.size() / width; ++row) {
    double g_mean = 0, gx_mean = 0;
    auto x = [&](size_t c) { return (r[row * width + c] - s.mean[row]) * s.rstd[row]; };
    for (size_t c = 0; c < width; ++c) {
      const double g = dout[row * width + c] * weight[c] / static_cast<double>(width);
      g_mean += kind == Norm::layer ? g : 0;
      gx_mean += g * x(c);
    }
    for (size_t c = 0; c < width; ++c)
      result[row * width + c] = s.rstd[row] * (dout[row * width + c] * weight[c] - g_mean - x(c) * gx_mean);
  }
  return result;
}

// Tests many wide rows, as real models have them.
TEST(NormSizes, RealSizes) {
  for (auto [kind, rows, width] : {std::tuple<Norm, int64_t, int64_t>{Norm::layer, 2000, 768},
                                   {Norm::layer, 600, 1280},
                                   {Norm::rms, 400, 2048},
                                   {Norm::rms, 150, 5461}}) {
    const bool layer = kind == Norm::layer;
    const std::string what = std::to_string(rows) + " x " + std::to_string(width) + (layer ? ", layer" : ", rms");
    Buffer residual(DType::bf16, {rows, width}, 1, 2.0), branch(DType::bf16, {rows, width}, 2);
    Buffer sum(DType::bf16, {rows, width}), out(DType::bf16, {rows, width}), weight(DType::bf16, {width}, 3);
    Buffer bias(DType::bf16, {width}, 4), mean(DType::f32, {rows}), rstd(DType::f32, {rows});
    Buffer dout(DType::bf16, {rows, width}, 5), d_residual(DType::bf16, {rows, width}, 6);
    Buffer d_weight(DType::f32, {width}, 7), d_bias(DType::f32, {width}, 8);
    const Tensor mean_or_none = layer ? mean.tensor() : Tensor();
    backend().norm_forward({.kind = kind,
                            .out = out,
                            .sum = sum,
                            .mean = mean_or_none,
                            .rstd = rstd,
                            .residual = residual,
                            .branch = branch,
                            .weight = weight,
                            .bias = layer ? bias.tensor() : Tensor(),
                            .eps = static_cast<float>(eps)});
    const Doubles r = sum.read();
    expect_close(r, plus(residual.given(), branch.given()), DType::bf16, "sum, " + what);
    expect_close(out.read(), normalized(kind, r, weight.given(), layer ? bias.given() : Doubles()), DType::bf16,
                 "out, " + what);
    backend().norm_backward({.kind = kind,
                             .d_residual = d_residual,
                             .d_weight = d_weight,
                             .d_bias = layer ? d_bias.tensor() : Tensor(),
                             .dout = dout,
                             .r = sum,
                             .weight = weight,
                             .mean = mean_or_none,
                             .rstd = rstd,
                             .accumulate = true});
    const Statistics s = statistics(kind, r, width);
    expect_close(d_residual.read(), plus(d_residual.given(), derivative(kind, r, weight.given(), dout.given(), s)),
                 DType::bf16, "d_residual, " + what);
    Doubles d_w = d_weight.given(), d_b = d_bias.given();
    for (size_t i = 0; i < r.size(); ++i) {
      const size_t row = i / d_w.size(), c = i % d_w.size();
      d_w[c] += dout.given()[i] * (r[i] - s.mean[row]) * s.rstd[row];
      d_b[c] += layer ? dout.given()[i] : 0;
    }
    expect_close(d_weight.read(), d_w, DType::f32, "d_weight, " + what);
    expect_close(d_bias.read(), d_b, DType::f32, "d_bias, " + what);
  }
}

TEST_P(Norms, NanStaysInItsRow) {
  Doubles values(60, 0.5);
  values[25] = std::nan("");
  values[3] = -1;
  Buffer residual(dtype(), {3, 20}, values), weight(dtype(), {20}, Doubles(20, 1.0)), out(dtype(), {3, 20});
  Buffer mean(DType::f32, {3}), rstd(DType::f32, {3});
  backend().norm_forward({.kind = kind(),
                          .out = out,
                          .mean = kind() == Norm::layer ? mean.tensor() : Tensor(),
                          .rstd = rstd,
                          .residual = residual,
                          .weight = weight});
  Doubles got = out.read();
  for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(std::isnan(got[i]), i / 20 == 1) << i;
}

INSTANTIATE_TEST_SUITE_P(
    all, Norms, testing::Combine(testing::Values(DType::f32, DType::bf16), testing::Values(Norm::rms, Norm::layer)),
    [](const auto& info) {
      return std::string(name_of(std::get<0>(info.param))) + (std::get<1>(info.param) == Norm::rms ? "_rms" : "_layer");
    });

}  // namespace
}  // namespace rowan::test

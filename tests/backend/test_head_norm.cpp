// Tests RMSNorm of query and key heads, forward and backward, against float64. Also tests error messages.
#include <cmath>

#include "suite.h"

namespace rowan::test {
namespace {

class HeadNorm : public Ops {};

const AttentionShape shapes[] = {{2, 3, 2, 1, 4, 1},  {1, 5, 3, 3, 7, 1},   {1, 2, 6, 2, 32, 1},
                                 {2, 4, 1, 1, 64, 1}, {1, 3, 4, 2, 128, 1}, {1, 2, 2, 1, 256, 1}};
constexpr double eps = 0.01;

Doubles normalized(const Doubles& in, const Doubles& weight, const AttentionShape& s) {
  Doubles out = in;
  for (int64_t n = 0; n < s.tokens(); ++n)
    for (int64_t h = 0; h < s.heads + s.kv_heads; ++h) {
      double* head = out.data() + n * s.qkv_width() + h * s.head_dim;
      double squares = 0;
      for (int64_t d = 0; d < s.head_dim; ++d) squares += head[d] * head[d];
      const double rstd = 1 / std::sqrt(squares / static_cast<double>(s.head_dim) + eps);
      for (int64_t d = 0; d < s.head_dim; ++d)
        head[d] *= rstd * (weight.empty() ? 1 : weight[(h < s.heads ? 0 : s.head_dim) + d]);
    }
  return out;
}

TEST_P(HeadNorm, Forward) {
  for (const AttentionShape& s : shapes)
    for (bool gains : {false, true}) {
      Buffer in(dtype(), {s.tokens(), s.qkv_width()}, 1), weight(dtype(), {2 * s.head_dim}, 2),
          out(dtype(), {s.tokens(), s.qkv_width()}, 3);
      backend().head_norm_forward(out, in, gains ? weight.tensor() : Tensor(), s, float{eps});
      expect_close(out.read(), normalized(in.given(), gains ? weight.given() : Doubles(), s), dtype(), "out");
    }
}

TEST_P(HeadNorm, Backward) {
  for (const AttentionShape& s : shapes)
    for (bool gains : {false, true})
      for (DType gradient : {DType::f32, DType::bf16}) {
        Buffer in(dtype(), {s.tokens(), s.qkv_width()}, 1), weight(dtype(), {2 * s.head_dim}, 2),
            dqkv(dtype(), {s.tokens(), s.qkv_width()}, 3), d_weight(gradient, {2 * s.head_dim}, 4);
        backend().head_norm_backward(dqkv, gains ? d_weight.tensor() : Tensor(), in, gains ? weight.tensor() : Tensor(),
                                     s, float{eps});
        const Doubles gain = gains ? weight.given() : Doubles();
        expect_close(
            dqkv.read(),
            numeric_gradient([&](const Doubles& x) { return normalized(x, gain, s); }, in.given(), dqkv.given()),
            dtype(), "dqkv", dtype() == DType::f32 ? 2e-5 : 1e-2);
        if (!gains) continue;
        expect_close(
            d_weight.read(),
            plus(d_weight.given(),
                 numeric_gradient([&](const Doubles& w) { return normalized(in.given(), w, s); }, gain, dqkv.given())),
            gradient, "d_weight");
      }
}

TEST(HeadNormChecks, NameTheArgument) {
  Buffer x(DType::f32, {6, 16}, 1), weight(DType::f32, {8}, 2), narrow(DType::f32, {4}, 3);
  const AttentionShape s{2, 3, 2, 1, 4, 1};
  EXPECT_EQ(error_of([&] { backend().head_norm_forward(x, x, narrow, s, 0); }),
            "head_norm_forward: weight: found fp32[4], expected fp32[8]");
  EXPECT_EQ(error_of([&] { backend().head_norm_backward(x, weight, x, Tensor(), s, 0); }),
            "head_norm_backward: d_weight: found fp32[8], expected none without a weight");
}

ROWAN_OVER_DTYPES(HeadNorm);

}  // namespace
}  // namespace rowan::test

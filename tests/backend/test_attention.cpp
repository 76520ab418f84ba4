// Tests attention and rotary positions against float64, forward and backward. Some tests use large scores or long
// sequences. A query must not depend on later tokens.
#include <cmath>

#include "attention_reference.h"
#include "suite.h"

namespace rowan::test {
namespace {

const AttentionShape shapes[] = {
    {1, 1, 1, 1, 1, 1.0f},    {2, 3, 2, 1, 5, 0.5f},    {1, 63, 1, 1, 16, 0.25f}, {1, 64, 2, 2, 8, 0.3f},
    {1, 65, 3, 1, 24, 0.2f},  {2, 130, 4, 2, 20, 0.2f}, {1, 33, 1, 1, 64, 0.1f},  {1, 17, 2, 1, 100, 0.1f},
    {1, 66, 2, 1, 32, 0.2f},  {1, 35, 3, 3, 80, 0.1f},  {1, 67, 2, 1, 96, 0.1f},  {1, 66, 4, 2, 128, 0.1f},
    {1, 193, 2, 1, 64, 0.1f},
};

std::string name(const AttentionShape& s) {
  return "batch " + std::to_string(s.batch) + " seq " + std::to_string(s.seq) + " heads " + std::to_string(s.heads) +
         "/" + std::to_string(s.kv_heads) + " dim " + std::to_string(s.head_dim);
}

// Announces the shape as a model does before training. Does nothing for cases that cuDNN does not support: fp32, and a
// head_dim that is not a multiple of 8.
void announce(const AttentionShape& s, DType dtype) {
  if (dtype == DType::bf16 && s.head_dim % 8 == 0) backend().plan_attention(s, dtype);
}

// For each position, the cosines of its angles, then their sines.
Doubles rope_angles(const AttentionShape& s) {
  const int64_t half = s.head_dim / 2;
  Doubles angles(static_cast<size_t>(s.seq * s.head_dim));
  for (int64_t t = 0; t < s.seq; ++t)
    for (int64_t i = 0; i < half; ++i) {
      double angle =
          static_cast<double>(t) * std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(s.head_dim));
      angles[t * s.head_dim + i] = std::cos(angle);
      angles[t * s.head_dim + half + i] = std::sin(angle);
    }
  return angles;
}

// Rotates queries and keys by the angles of their positions, or by the negative angles if `inverse`.
Doubles turned(const AttentionShape& s, Doubles qkv, const Doubles& angles, bool inverse) {
  const int64_t half = s.head_dim / 2;
  for (int64_t n = 0; n < s.tokens(); ++n)
    for (int64_t h = 0; h < s.heads + s.kv_heads; ++h)
      for (int64_t i = 0; i < half; ++i) {
        double *a = qkv.data() + n * s.qkv_width() + h * s.head_dim + i, *b = a + half, x = *a, y = *b;
        double c = angles[n % s.seq * s.head_dim + i], d = angles[n % s.seq * s.head_dim + half + i];
        if (inverse) d = -d;
        *a = x * c - y * d;
        *b = y * c + x * d;
      }
  return qkv;
}

TEST(AttentionReference, BackwardIsTheDerivativeOfForward) {
  AttentionShape s{2, 5, 4, 2, 3, 0.7f};
  Doubles qkv = random_values(s.tokens() * s.qkv_width(), 1), dout = random_values(s.tokens() * s.out_width(), 2);
  Doubles numeric = numeric_gradient([&](const Doubles& x) { return attention_reference(s, x).out; }, qkv, dout);
  expect_close(attention_gradient(s, qkv, attention_reference(s, qkv).out, dout), numeric, DType::f32, "dqkv", 1e-8);
}

class Attention : public Ops {};

TEST_P(Attention, Forward) {
  for (const AttentionShape& s : shapes) {
    Buffer qkv(dtype(), {s.tokens(), s.qkv_width()}, 1, 1.5), out(dtype(), {s.tokens(), s.out_width()});
    Buffer log_sum_exp(DType::f32, {s.batch, s.heads, s.seq});
    announce(s, dtype());
    backend().attention_forward(out, log_sum_exp, qkv, s);
    AttentionResult want = attention_reference(s, qkv.given());
    expect_close(out.read(), want.out, dtype(), "out, " + name(s));
    expect_close(log_sum_exp.read(), want.log_sum_exp, DType::f32, "log_sum_exp, " + name(s),
                 dtype() == DType::f32 ? 0 : 1e-4);
  }
}

TEST_P(Attention, Backward) {
  for (const AttentionShape& s : shapes) {
    Buffer qkv(dtype(), {s.tokens(), s.qkv_width()}, 1, 1.5), dout(dtype(), {s.tokens(), s.out_width()}, 2);
    AttentionResult f = attention_reference(s, qkv.given());
    Buffer out(dtype(), {s.tokens(), s.out_width()}, f.out), dqkv(dtype(), {s.tokens(), s.qkv_width()}, 3);
    Buffer log_sum_exp(DType::f32, {s.batch, s.heads, s.seq}, f.log_sum_exp);
    announce(s, dtype());
    backend().attention_backward(dqkv, dout, out, log_sum_exp, qkv, s);
    expect_close(dqkv.read(), attention_gradient(s, qkv.given(), out.given(), dout.given()), dtype(),
                 "dqkv, " + name(s));
  }
}

// Compares the gradients with respect to queries and keys before rope(). The shapes select different backward kernels
// of a GPU, and include wide heads and heads that do not fill a tile.
TEST_P(Attention, BackwardOfRotatedHeads) {
  for (const AttentionShape& s : {AttentionShape{2, 6, 3, 1, 6, 0.5f}, AttentionShape{2, 70, 4, 2, 32, 0.2f},
                                  AttentionShape{8, 140, 1, 1, 32, 0.2f}, AttentionShape{1, 193, 2, 1, 64, 0.1f},
                                  AttentionShape{1, 280, 1, 1, 96, 0.1f}, AttentionShape{1, 66, 4, 2, 128, 0.1f},
                                  AttentionShape{1, 40, 2, 2, 48, 0.1f}}) {
    Buffer qkv(dtype(), {s.tokens(), s.qkv_width()}, 1, 1.5), dout(dtype(), {s.tokens(), s.out_width()}, 2);
    AttentionResult f = attention_reference(s, qkv.given());
    Buffer out(dtype(), {s.tokens(), s.out_width()}, f.out), dqkv(dtype(), {s.tokens(), s.qkv_width()}, 3);
    Buffer log_sum_exp(DType::f32, {s.batch, s.heads, s.seq}, f.log_sum_exp);
    Buffer table(DType::f32, {s.seq, s.head_dim}, rope_angles(s));
    announce(s, dtype());
    AttentionRule rule;
    rule.rope = table;
    backend().attention_backward(dqkv, dout, out, log_sum_exp, qkv, s, rule);
    expect_close(dqkv.read(),
                 turned(s, attention_gradient(s, qkv.given(), out.given(), dout.given()), table.given(), true), dtype(),
                 "dqkv, " + name(s));
  }
}

// Scores fall by 32 from key to key in the first pass of the loop, and rise by 32 in the second, over a range of 6368.
// Softmax sums that are not rescaled overflow.
TEST_P(Attention, SurvivesLargeScores) {
  AttentionShape s{1, 200, 1, 1, 2, 1.0f};
  for (bool falling : {true, false}) {
    Doubles values(static_cast<size_t>(s.tokens() * s.qkv_width()));
    for (int64_t t = 0; t < s.seq; ++t) {
      double* row = values.data() + t * s.qkv_width();
      row[0] = 16;
      row[2] = static_cast<double>(falling ? s.seq - t : t) * 2;
      row[4] = static_cast<double>(t % 7) - 3;
      row[5] = 1;
    }
    Buffer qkv(dtype(), {s.tokens(), s.qkv_width()}, values), out(dtype(), {s.tokens(), s.out_width()});
    Buffer log_sum_exp(DType::f32, {s.batch, s.heads, s.seq});
    backend().attention_forward(out, log_sum_exp, qkv, s);
    expect_close(out.read(), attention_reference(s, qkv.given()).out, dtype(), "out");
  }
}

TEST_P(Attention, NeverLooksAhead) {
  AttentionShape s{1, 70, 2, 1, 8, 0.3f};
  Doubles values = random_values(s.tokens() * s.qkv_width(), 1);
  Buffer before(dtype(), {s.tokens(), s.qkv_width()}, values);
  for (size_t i = static_cast<size_t>(50 * s.qkv_width()); i < values.size(); ++i) values[i] = 3 - values[i];
  Buffer after(dtype(), {s.tokens(), s.qkv_width()}, values), out(dtype(), {s.tokens(), s.out_width()});
  Buffer log_sum_exp(DType::f32, {s.batch, s.heads, s.seq});
  announce(s, dtype());
  backend().attention_forward(out, log_sum_exp, before, s);
  Doubles first = out.read();
  backend().attention_forward(out, log_sum_exp, after, s);
  Doubles second = out.read();
  for (int64_t i = 0; i < 50 * s.out_width(); ++i) ASSERT_EQ(first[i], second[i]) << i;
}

ROWAN_OVER_DTYPES(Attention);

// These sequences are longer and have many tiles of keys and queries. In most shapes the last tile is partial.
TEST(AttentionSizes, RealSizes) {
  for (const AttentionShape& s : {AttentionShape{1, 520, 2, 1, 64, 0.125f}, AttentionShape{1, 1024, 1, 1, 64, 0.125f},
                                  AttentionShape{1, 300, 2, 2, 128, 0.09f}, AttentionShape{2, 260, 2, 1, 32, 0.17f},
                                  AttentionShape{4, 260, 4, 2, 64, 0.12f}, AttentionShape{1, 520, 3, 1, 96, 0.1f}}) {
    Buffer qkv(DType::bf16, {s.tokens(), s.qkv_width()}, 1, 1.5), dout(DType::bf16, {s.tokens(), s.out_width()}, 2);
    Buffer out(DType::bf16, {s.tokens(), s.out_width()}), dqkv(DType::bf16, {s.tokens(), s.qkv_width()}, 3);
    Buffer log_sum_exp(DType::f32, {s.batch, s.heads, s.seq});
    announce(s, DType::bf16);
    backend().attention_forward(out, log_sum_exp, qkv, s);
    const AttentionResult want = attention_reference(s, qkv.given());
    expect_close(out.read(), want.out, DType::bf16, "out, " + name(s));
    expect_close(log_sum_exp.read(), want.log_sum_exp, DType::f32, "log_sum_exp, " + name(s), 1e-4);
    backend().attention_backward(dqkv, dout, out, log_sum_exp, qkv, s);
    const Doubles first = dqkv.read();
    expect_close(first, attention_gradient(s, qkv.given(), out.read(), dout.given()), DType::bf16, "dqkv, " + name(s),
                 1.5e-2);
    backend().attention_backward(dqkv, dout, out, log_sum_exp, qkv, s);
    EXPECT_EQ(dqkv.read(), first) << "two equal calls give different bits, " << name(s);
  }
}

class Rope : public Ops {};

TEST_P(Rope, RotatesQueriesAndKeys) {
  for (const AttentionShape& s : {AttentionShape{1, 1, 1, 1, 2, 1}, AttentionShape{2, 5, 3, 1, 6, 1},
                                  AttentionShape{1, 19, 4, 2, 34, 1}, AttentionShape{2, 3, 1, 1, 64, 1}}) {
    Buffer table(DType::f32, {s.seq, s.head_dim}, rope_angles(s));
    for (bool inverse : {false, true}) {
      Buffer qkv(dtype(), {s.tokens(), s.qkv_width()}, 1);
      backend().rope(qkv, table, s, inverse);
      expect_close(qkv.read(), turned(s, qkv.given(), table.given(), inverse), dtype(), "qkv, " + name(s));
    }
  }
}

ROWAN_OVER_DTYPES(Rope);

}  // namespace
}  // namespace rowan::test

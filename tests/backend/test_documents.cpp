// Tests how documents in packed rows are found, and that attention stays within each document. Also tests dropout
// masks, attention with dropout, and error messages.
#include <cmath>

#include "attention_reference.h"
#include "base/random.h"
#include "kernels/dropout.h"
#include "suite.h"

namespace rowan::test {
namespace {

struct Table {
  Doubles begins, ends, positions;

  Doubles all() const {
    Doubles values = begins;
    values.insert(values.end(), ends.begin(), ends.end());
    values.insert(values.end(), positions.begin(), positions.end());
    return values;
  }
};

Table documents_of(const Doubles& ids, const DocumentRule& rule, int64_t seq) {
  Table table;
  const int64_t n = static_cast<int64_t>(ids.size());
  for (int64_t i = 0; i < n; ++i) {
    auto starts_at = [&](int64_t t) {
      const int64_t row = t / seq * seq;
      return t == row || ids[rule.opens ? t : t - 1] == rule.end_token;
    };
    int64_t begin = i, end = i + 1;
    while (!starts_at(begin)) --begin;
    while (end < (i / seq + 1) * seq && !starts_at(end)) ++end;
    table.begins.push_back(static_cast<double>(begin % seq));
    table.ends.push_back(static_cast<double>((end - 1) % seq + 1));
    table.positions.push_back(static_cast<double>(i - begin));
  }
  return table;
}

// Random ids from 0 to 9. About one in `length` is the end token 3.
Doubles some_ids(int64_t count, int64_t length, uint64_t seed) {
  Random random(seed, 5);
  Doubles ids;
  for (int64_t i = 0; i < count; ++i) {
    const auto id = static_cast<double>(random.below(10));
    ids.push_back(random.below(static_cast<uint64_t>(length)) == 0 ? 3.0 : id == 3 ? 4.0 : id);
  }
  return ids;
}

TEST(Documents, AreFoundByTheirEndTokens) {
  for (int64_t seq : {1, 2, 5, 31, 32, 33, 64, 100, 257})
    for (int64_t length : {1, 2, 9, 60, 1000})
      for (bool opens : {false, true}) {
        const DocumentRule rule{3, opens};
        const Doubles ids = some_ids(3 * seq, length, static_cast<uint64_t>(seq + length));
        Buffer tokens(DType::i32, {3 * seq}, ids), found(DType::i32, {3, 3 * seq});
        backend().find_documents(found, tokens, rule, seq);
        ASSERT_EQ(found.read(), documents_of(ids, rule, seq).all()) << seq << " " << length << " " << opens;
      }
}

TEST(Documents, ChecksNameTheArgument) {
  Buffer tokens(DType::i32, {6}), found(DType::i32, {3, 6}), x(DType::f32, {6, 2}), narrow(DType::i32, {2, 6}),
      samples(DType::i32, {1, 2});
  EXPECT_EQ(error_of([&] {
              backend().find_documents(narrow, tokens, {3, true}, 3);
            }),
            "find_documents: documents: found i32[2, 6], expected i32[3, 6]");
  EXPECT_EQ(error_of([&] {
              backend().find_documents(found, tokens, {3, true}, 4);
            }),
            "find_documents: tokens: found i32[6], expected whole rows of 4 tokens");
  EXPECT_EQ(error_of([&] {
              backend().dropout(x, {1, 0, 0, samples}, 6);
            }),
            "dropout: rate: found 1, expected at least 0 and below 1");
  EXPECT_EQ(error_of([&] {
              backend().dropout(x, {0.5f, 0, 0, samples}, 3);
            }),
            "dropout: samples: found i32[1, 2], expected i32[2, 2]");
}

class DocumentAttention : public Ops {};

// The reference is the attention of each document alone.
TEST_P(DocumentAttention, IsThatOfEachDocumentAlone) {
  for (const AttentionShape& s : {AttentionShape{2, 7, 2, 1, 5, 0.5f}, AttentionShape{1, 130, 2, 2, 32, 0.2f},
                                  AttentionShape{2, 200, 2, 1, 64, 0.1f}, AttentionShape{1, 150, 2, 1, 96, 0.1f},
                                  AttentionShape{1, 193, 2, 2, 128, 0.1f}})
    for (int64_t length : {2, 9, 50, 120}) {
      const Doubles ids = some_ids(s.tokens(), length, 9);
      Buffer tokens(DType::i32, {s.tokens()}, ids), documents(DType::i32, {3, s.tokens()});
      backend().find_documents(documents, tokens, {3, true}, s.seq);
      Buffer qkv(dtype(), {s.tokens(), s.qkv_width()}, 1, 1.5), out(dtype(), {s.tokens(), s.out_width()});
      Buffer log_sum_exp(DType::f32, {s.batch, s.heads, s.seq}), dout(dtype(), {s.tokens(), s.out_width()}, 2),
          dqkv(dtype(), {s.tokens(), s.qkv_width()}, 3);
      backend().attention_forward(out, log_sum_exp, qkv, s, {documents, {}});
      backend().attention_backward(dqkv, dout, out, log_sum_exp, qkv, s, {documents, {}});

      const Table table = documents_of(ids, {3, true}, s.seq);
      Doubles want_out, want_dqkv;
      const Doubles computed = out.read();
      for (int64_t first = 0, count; first < s.tokens(); first += count) {
        count = static_cast<int64_t>(table.ends[first] - table.begins[first]);
        const AttentionShape one{1, count, s.heads, s.kv_heads, s.head_dim, s.scale};
        auto part = [&](const Doubles& all, int64_t width) {
          return Doubles(all.begin() + first * width, all.begin() + (first + count) * width);
        };
        auto add = [](Doubles& all, const Doubles& values) { all.insert(all.end(), values.begin(), values.end()); };
        const Doubles part_qkv = part(qkv.given(), s.qkv_width());
        add(want_out, attention_reference(one, part_qkv).out);
        add(want_dqkv,
            attention_gradient(one, part_qkv, part(computed, s.out_width()), part(dout.given(), s.out_width())));
      }
      const std::string what = std::to_string(s.seq) + " tokens, documents of " + std::to_string(length);
      expect_close(computed, want_out, dtype(), "out, " + what);
      expect_close(dqkv.read(), want_dqkv, dtype(), "dqkv, " + what);
    }
}

class Dropouts : public Ops {
 protected:
  // The values of Dropout::samples, i32[batch, 2], for `batch` consecutive sample numbers.
  static Doubles samples_from(int64_t first, int64_t batch) {
    Doubles numbers;
    for (int64_t i = 0; i < batch; ++i) {
      numbers.push_back(static_cast<double>(first + i));
      numbers.push_back(0);
    }
    return numbers;
  }
};

TEST_P(Dropouts, KeepElementsWithTheirProbability) {
  const int64_t batch = 3, seq = 37, width = 90, n = batch * seq * width;
  for (float rate : {0.1f, 0.2f, 0.75f}) {
    Buffer x(dtype(), {batch * seq, width}, Doubles(static_cast<size_t>(n), 1.5)),
        samples(DType::i32, {batch, 2}, samples_from(40, batch));
    backend().dropout(x, {rate, 9, 4, samples}, seq);
    int64_t kept = 0;
    const double value = rounded(1.5 / (1 - double{rate}), dtype());
    for (double v : x.read()) {
      if (v != 0) {
        ASSERT_NEAR(v, value, 1e-6);
      }
      kept += v != 0;
    }
    const double p = double{rate}, count = static_cast<double>(n);
    EXPECT_NEAR(static_cast<double>(kept) / count, 1 - p, 4 * std::sqrt(p * (1 - p) / count));
  }
}

// A sample has the same mask alone and in row 2 of a batch. Masks differ between samples, sites and seeds.
TEST_P(Dropouts, BelongToSeedSiteAndSample) {
  const int64_t seq = 5, width = 33, sample = seq * width;
  auto drawn = [&](uint64_t seed, int64_t site, int64_t first, int64_t batch) {
    Buffer x(dtype(), {batch * seq, width}, Doubles(static_cast<size_t>(batch * sample), 1.0)),
        samples(DType::i32, {batch, 2}, samples_from(first, batch));
    backend().dropout(x, {0.5f, seed, site, samples}, seq);
    return x.read();
  };
  const Doubles four = drawn(1, 2, 10, 4), one = drawn(1, 2, 12, 1);
  EXPECT_TRUE(std::equal(one.begin(), one.end(), four.begin() + 2 * sample));
  EXPECT_NE(drawn(1, 2, 13, 1), one);
  EXPECT_NE(drawn(1, 3, 12, 1), one);
  EXPECT_NE(drawn(2, 2, 12, 1), one);
}

TEST_P(Dropouts, OfAttentionFollowTheFormula) {
  for (const AttentionShape& s : {AttentionShape{2, 6, 2, 1, 4, 0.5f}, AttentionShape{1, 70, 2, 1, 32, 0.2f},
                                  AttentionShape{2, 33, 2, 2, 64, 0.1f}, AttentionShape{1, 67, 1, 1, 128, 0.1f}})
    for (bool separate : {false, true}) {
      Buffer tokens(DType::i32, {s.tokens()}, some_ids(s.tokens(), 12, 4)), found(DType::i32, {3, s.tokens()});
      backend().find_documents(found, tokens, {3, true}, s.seq);
      const Doubles begins = found.read();
      std::vector<int32_t> numbers;
      for (double v : samples_from(7, s.batch)) numbers.push_back(static_cast<int32_t>(v));
      Buffer samples(DType::i32, {s.batch, 2}, samples_from(7, s.batch));
      const Dropout rule{0.3f, 5, 6, samples};
      DropoutMask mask(rule);
      mask.samples = numbers.data();

      Buffer qkv(dtype(), {s.tokens(), s.qkv_width()}, 1, 1.5), out(dtype(), {s.tokens(), s.out_width()});
      Buffer log_sum_exp(DType::f32, {s.batch, s.heads, s.seq}), dout(dtype(), {s.tokens(), s.out_width()}, 2),
          dqkv(dtype(), {s.tokens(), s.qkv_width()}, 3);
      const AttentionRule attention{separate ? found.tensor() : Tensor(), rule};
      backend().attention_forward(out, log_sum_exp, qkv, s, attention);
      backend().attention_backward(dqkv, dout, out, log_sum_exp, qkv, s, attention);

      Doubles want_out(out.given().size()), want_dqkv(dqkv.given().size());
      const Doubles &x = qkv.given(), &g = dout.given();
      const int64_t w = s.qkv_width(), dim = s.head_dim;
      for (int64_t b = 0; b < s.batch; ++b)
        for (int64_t h = 0; h < s.heads; ++h)
          for (int64_t t = 0; t < s.seq; ++t) {
            const int64_t row = b * s.seq, kv = h / (s.heads / s.kv_heads),
                          from = separate ? static_cast<int64_t>(begins[row + t]) : 0;
            const int64_t q = (row + t) * w + h * dim, o = (row + t) * s.out_width() + h * dim;
            auto key = [&](int64_t u) { return (row + u) * w + (s.heads + kv) * dim; };
            auto value = [&](int64_t u) { return key(u) + s.kv_heads * dim; };
            Doubles p, factor;
            double total = 0, delta = 0;
            for (int64_t u = from; u <= t; ++u) {
              double score = 0;
              for (int64_t d = 0; d < dim; ++d) score += x[q + d] * x[key(u) + d];
              p.push_back(std::exp(static_cast<double>(s.scale) * score));
              total += p.back();
              float four[4];
              mask.four(four, mask.stream(b), DropoutMask::attention_group(h, t, u, s.seq));
              factor.push_back(double{four[u % 4]});
            }
            for (int64_t u = from; u <= t; ++u) {
              p[u - from] /= total;
              for (int64_t d = 0; d < dim; ++d) want_out[o + d] += p[u - from] * factor[u - from] * x[value(u) + d];
            }
            for (int64_t d = 0; d < dim; ++d) delta += g[o + d] * want_out[o + d];
            for (int64_t u = from; u <= t; ++u) {
              double dp = 0;
              for (int64_t d = 0; d < dim; ++d) dp += g[o + d] * x[value(u) + d];
              const double f = factor[u - from], ds = static_cast<double>(s.scale) * p[u - from] * (dp * f - delta);
              for (int64_t d = 0; d < dim; ++d) {
                want_dqkv[q + d] += ds * x[key(u) + d];
                want_dqkv[key(u) + d] += ds * x[q + d];
                want_dqkv[value(u) + d] += p[u - from] * f * g[o + d];
              }
            }
          }
      expect_close(out.read(), want_out, dtype(), "out, " + std::to_string(s.seq));
      expect_close(dqkv.read(), want_dqkv, dtype(), "dqkv, " + std::to_string(s.seq), dtype() == DType::f32 ? 0 : 2e-2);
    }
}

ROWAN_OVER_DTYPES(DocumentAttention);
ROWAN_OVER_DTYPES(Dropouts);

}  // namespace
}  // namespace rowan::test

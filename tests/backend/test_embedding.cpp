// Tests the embedding, forward and backward, against float64. An error must name a token outside the vocabulary.
#include <cmath>

#include "suite.h"

namespace rowan::test {
namespace {

class Embedding : public Ops {};

// Some ids repeat, and some ids of the vocabulary do not occur. The first and the last id occur. The sequence length
// does not divide the number of tokens.
const Doubles ids = {3, 0, 3, 10, 3, 7, 0, 10, 10, 3, 5};
constexpr int64_t tokens = 11, vocabulary = 11, seq = 4;

TEST_P(Embedding, Forward) {
  for (int64_t width : {1, 15, 16, 67})
    for (bool positioned : {false, true}) {
      Buffer table(dtype(), {vocabulary, width}, 1), positions(dtype(), {seq + 1, width}, 2);
      Buffer out(dtype(), {tokens, width}), id(DType::i32, {tokens}, ids);
      backend().embedding_forward(out, id, table, positioned ? positions.tensor() : Tensor(), seq);
      Doubles want(static_cast<size_t>(tokens * width));
      for (int64_t n = 0; n < tokens; ++n)
        for (int64_t c = 0; c < width; ++c)
          want[n * width + c] = table.given()[static_cast<int64_t>(ids[n]) * width + c] +
                                (positioned ? positions.given()[n % seq * width + c] : 0.0);
      expect_close(out.read(), want, dtype(), "out");
    }
}

TEST_P(Embedding, TakesPositionsByTheirIdsAndGivesFp32) {
  const Doubles places = {0, 1, 0, 4, 2, 2, 0, 1, 3, 0, 1};
  for (int64_t width : {1, 16, 67})
    for (DType result : {dtype(), DType::f32}) {
      Buffer table(dtype(), {vocabulary, width}, 1), positions(dtype(), {seq + 1, width}, 2);
      Buffer out(result, {tokens, width}), id(DType::i32, {tokens}, ids), place(DType::i32, {tokens}, places);
      backend().embedding_forward(out, id, table, positions, seq, place);
      Doubles want(static_cast<size_t>(tokens * width));
      for (int64_t n = 0; n < tokens; ++n)
        for (int64_t c = 0; c < width; ++c)
          want[n * width + c] = table.given()[static_cast<int64_t>(ids[n]) * width + c] +
                                positions.given()[static_cast<int64_t>(places[n]) * width + c];
      expect_close(out.read(), want, result, "out");
    }
}

TEST_P(Embedding, BackwardAccumulates) {
  for (DType gradient : {DType::f32, DType::bf16})
    for (int64_t width : {1, 15, 16, 300})
      for (bool positioned : {false, true}) {
        Buffer d_table(gradient, {vocabulary, width}, 1), d_positions(gradient, {seq + 1, width}, 2);
        Buffer dout(dtype(), {tokens, width}, 3), id(DType::i32, {tokens}, ids);
        backend().embedding_backward(d_table, positioned ? d_positions.tensor() : Tensor(), dout, id, seq);
        Doubles table = d_table.given(), positions = d_positions.given();
        for (int64_t n = 0; n < tokens; ++n)
          for (int64_t c = 0; c < width; ++c) {
            double d = dout.given()[n * width + c];
            table[static_cast<int64_t>(ids[n]) * width + c] += d;
            if (positioned) positions[n % seq * width + c] += d;
          }
        expect_close(d_table.read(), table, gradient, "d_table");
        expect_close(d_positions.read(), positions, gradient, "d_positions");
      }
}

TEST_P(Embedding, OfGpt2sVocabulary) {
  constexpr int64_t all = 50257, width = 8;
  const Doubles few = {50256, 0, 31000, 50256};
  Buffer table(dtype(), {all, width}, 1), d_table(DType::f32, {all, width}), out(dtype(), {4, width});
  Buffer dout(dtype(), {4, width}, 2), id(DType::i32, {4}, few);
  backend().embedding_forward(out, id, table, Tensor(), 4);
  backend().embedding_backward(d_table, Tensor(), dout, id, 4);
  Doubles want(4 * width), d_want(all * width);
  for (int64_t i = 0; i < 4 * width; ++i) {
    const int64_t at = static_cast<int64_t>(few[static_cast<size_t>(i / width)]) * width + i % width;
    want[static_cast<size_t>(i)] = table.given()[static_cast<size_t>(at)];
    d_want[static_cast<size_t>(at)] += dout.given()[static_cast<size_t>(i)];
  }
  EXPECT_EQ(out.read(), want);
  expect_close(d_table.read(), d_want, DType::f32, "d_table");
}

// Several thread blocks of a GPU sort these thousands of tokens. With `zipf`, one token occurs hundreds of times.
TEST(EmbeddingSizes, RealSizes) {
  constexpr int64_t count = 9001, width = 40, length = 128;
  for (auto [all, zipf] : {std::pair<int64_t, bool>{300, false}, {50257, false}, {50257, true}}) {
    Doubles id = random_values(count, 1);
    for (double& x : id) {
      const double uniform = 0.5 * std::erfc(x / std::sqrt(2.0));
      x = std::floor(zipf ? std::pow(double(all), uniform) - 1 : uniform * double(all));
      x = std::min(x, double(all - 1));
    }
    Buffer d_table(DType::f32, {all, width}, 2), d_positions(DType::f32, {length, width}, 3);
    Buffer dout(DType::bf16, {count, width}, 4), tokens_(DType::i32, {count}, id);
    backend().embedding_backward(d_table, d_positions, dout, tokens_, length);
    Doubles table = d_table.given(), positions = d_positions.given();
    for (int64_t n = 0; n < count; ++n)
      for (int64_t c = 0; c < width; ++c) {
        const double d = dout.given()[n * width + c];
        table[static_cast<int64_t>(id[n]) * width + c] += d;
        positions[n % length * width + c] += d;
      }
    expect_close(d_table.read(), table, DType::f32, "d_table");
    expect_close(d_positions.read(), positions, DType::f32, "d_positions");
  }
}

TEST(EmbeddingIds, NamesTokensOutsideTheVocabulary) {
  if (!backend().host_memory()) GTEST_SKIP() << "needs a backend whose memory the host can read";
  for (double bad : {11.0, -1.0, -100.0}) {
    Buffer table(DType::f32, {vocabulary, 4}, 1), out(DType::f32, {2, 4}), id(DType::i32, {2}, Doubles{1, bad});
    std::string message = error_of([&] { backend().embedding_forward(out, id, table, Tensor(), 2); });
    EXPECT_NE(message.find("embedding_forward: token 1: found id " + std::to_string(static_cast<int>(bad)) + ","),
              std::string::npos)
        << message;
    EXPECT_NE(error_of([&] { backend().embedding_backward(table, Tensor(), out, id, 2); }), "");
  }
}

ROWAN_OVER_DTYPES(Embedding);

}  // namespace
}  // namespace rowan::test

#include <gtest/gtest.h>

#include <numeric>

#include "dist/agreement.h"
#include "ranks.h"

namespace rowan {
namespace {

// Whole numbers, so that sums are exact in either dtype.
float value(int rank, int64_t i) { return static_cast<float>((i % 7) + rank); }

float expected_sum(int64_t i) {
  float sum = 0;
  for (int r = 0; r < ranks().size(); ++r) sum += value(r, i);
  return sum;
}

template <typename T>
T store(float x) {
  if constexpr (std::is_same_v<T, bf16>) {
    return to_bf16(x);
  } else {
    return x;
  }
}
float load(float x) { return x; }
float load(bf16 x) { return to_float(x); }

template <typename T>
class Communication : public testing::Test {
 protected:
  static constexpr DType dtype = std::is_same_v<T, float> ? DType::f32 : DType::bf16;

  std::vector<T> mine(int64_t n) {
    std::vector<T> x;
    for (int64_t i = 0; i < n; ++i) x.push_back(store<T>(value(ranks().rank(), i)));
    return x;
  }
  Tensor tensor(std::vector<T>& x) { return {x.data(), dtype, {static_cast<int64_t>(x.size())}}; }
};

using Types = testing::Types<float, bf16>;
TYPED_TEST_SUITE(Communication, Types);

TYPED_TEST(Communication, AllReduceSumsEverywhere) {
  for (int64_t n : {1, 2, 5, 4099, 100003}) {
    auto x = this->mine(n);
    ranks().wait(ranks().all_reduce(this->tensor(x)));
    for (int64_t i = 0; i < n; ++i) ASSERT_EQ(load(x[i]), expected_sum(i)) << n << " " << i;
  }
}

TYPED_TEST(Communication, ReduceReachesTheOwnersAndBroadcastAll) {
  auto x = this->mine(5000);
  Tensor flat = this->tensor(x);
  std::vector<Piece> pieces;
  for (int64_t begin = 0, k = 0; begin < 5000; begin += 1000, ++k) {
    pieces.push_back({flat.slice(begin, 1000), static_cast<int>(k * 5 % ranks().size())});
  }
  ranks().wait(ranks().reduce(pieces));
  for (const Piece& piece : pieces) {
    int64_t begin = piece.tensor.template as<TypeParam>() - x.data();
    if (piece.owner != ranks().rank()) continue;
    for (int64_t i = begin; i < begin + 1000; ++i) ASSERT_EQ(load(x[i]), expected_sum(i));
  }
  ranks().wait(ranks().broadcast(pieces));
  for (int64_t i = 0; i < 5000; ++i) ASSERT_EQ(load(x[i]), expected_sum(i));
}

TYPED_TEST(Communication, ManyOperationsMayBeUnderWay) {
  std::vector<std::vector<TypeParam>> xs(20);
  std::vector<Ticket> tickets;
  for (size_t k = 0; k < xs.size(); ++k) {
    xs[k] = this->mine(1 + 997 * k);
    if (k % 2) {
      tickets.push_back(ranks().all_reduce(this->tensor(xs[k])));
    } else {
      tickets.push_back(ranks().broadcast({{this->tensor(xs[k]), static_cast<int>(k) % ranks().size()}}));
    }
  }
  ranks().wait(tickets[9]);
  ranks().wait(tickets.back());
  for (size_t k = 0; k < xs.size(); ++k) {
    for (size_t i = 0; i < xs[k].size(); ++i) {
      ASSERT_EQ(load(xs[k][i]), k % 2 ? expected_sum(i) : value(static_cast<int>(k) % ranks().size(), i))
          << k << " " << i;
    }
  }
}

TEST(Communicator, SumsInRankOrderWithTheSameBitsEverywhere) {
  std::vector<float> x = {1e8f, 1.0f};
  if (ranks().rank() == ranks().size() - 1) x = {-1e8f, 1e-8f};
  std::vector<float> in_order = {0, 0};
  for (int r = 0; r < ranks().size(); ++r) {
    in_order[0] += r == ranks().size() - 1 ? -1e8f : 1e8f;
    in_order[1] += r == ranks().size() - 1 ? 1e-8f : 1.0f;
  }
  ranks().wait(ranks().all_reduce({x.data(), DType::f32, {2}}));
  EXPECT_EQ(x, in_order);
}

TEST(Communicator, GathersStringsOfAnyLength) {
  auto name = [](int rank) { return std::string(static_cast<size_t>(rank) * 1000, static_cast<char>('a' + rank)); };
  auto all = ranks().gather(name(ranks().rank()));
  ASSERT_EQ(static_cast<int>(all.size()), ranks().size());
  for (int r = 0; r < ranks().size(); ++r) EXPECT_EQ(all[r], name(r));
  EXPECT_EQ(ranks().sum({1.0, 0.5 * ranks().rank()}),
            (std::vector<double>{1.0 * ranks().size(), 0.25 * ranks().size() * (ranks().size() - 1)}));
}

TEST(Communicator, CountsWhatIsSent) {
  Traffic before = ranks().traffic();
  std::vector<float> x(1200);
  Tensor flat{x.data(), DType::f32, {1200}};
  ranks().wait(ranks().all_reduce(flat));
  std::vector<Piece> pieces = {{flat, ranks().size() - 1}};
  ranks().wait(ranks().reduce(pieces));
  ranks().wait(ranks().broadcast(pieces));
  Traffic after = ranks().traffic();
  auto total = [&](Message kind) {
    return ranks().sum({static_cast<double>(after.bytes_of(kind) - before.bytes_of(kind))})[0];
  };
  int others = ranks().size() - 1;
  EXPECT_EQ(total(Message::all_reduce), 2.0 * others * 4800);
  EXPECT_EQ(total(Message::reduce), others * 4800.0);
  EXPECT_EQ(total(Message::broadcast), others * 4800.0);
  EXPECT_EQ(after.calls_of(Message::reduce), before.calls_of(Message::reduce) + 1);
}

std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const AgreedError& error) {
    return error.what();
  }
  return "";
}

TEST(Agreement, AFailureOfOneRankIsThatOfAll) {
  int last = ranks().size() - 1;
  EXPECT_EQ(message_of([&] { together(ranks(), [] {}); }), "");
  EXPECT_EQ(message_of([&] { together(ranks(), [] { fail("no such file"); }); }), "no such file");
  std::string message = message_of([&] {
    together(ranks(), [&] {
      if (ranks().rank() == last) fail("disk full");
    });
  });
  EXPECT_EQ(message, last == 0 ? "disk full" : "rank " + std::to_string(last) + ": disk full");
}

TEST(Agreement, NamesTheRankThatDiffers) {
  check_same(ranks(), "the config", "abc");
  if (ranks().size() == 1) return;
  int last = ranks().size() - 1;
  std::string message = message_of([&] { check_same(ranks(), "the config", ranks().rank() == last ? "x" : "y"); });
  EXPECT_NE(message.find("the config of rank " + std::to_string(last)), std::string::npos) << message;
}

}  // namespace
}  // namespace rowan

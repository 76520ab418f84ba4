// Tests reductions, broadcasts and gathers of a communicator, and the counts of sent bytes. Also tests that an error of
// one rank becomes the error of all ranks, and that a rank with another config is named.
#include <gtest/gtest.h>

#include <memory>

#include "base/json.h"
#include "comm/agreement.h"
#include "kernels/arena.h"
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

// A tensor in the backend's memory with the given values.
template <typename T>
class Held {
 public:
  explicit Held(const std::vector<T>& values) : memory_(backend(), Category::data) {
    tensor = memory_.take(std::is_same_v<T, float> ? DType::f32 : DType::bf16, {static_cast<int64_t>(values.size())});
    backend().upload(tensor, values.data());
  }

  std::vector<T> values() const {
    std::vector<T> result(static_cast<size_t>(tensor.numel()));
    backend().download(result.data(), tensor);
    return result;
  }

  Tensor tensor;

 private:
  Arena memory_;
};

template <typename T>
class Communication : public testing::Test {
 protected:
  Held<T> mine(int64_t n) {
    std::vector<T> x;
    for (int64_t i = 0; i < n; ++i) x.push_back(store<T>(value(ranks().rank(), i)));
    return Held<T>(x);
  }
};

using Types = testing::Types<float, bf16>;
TYPED_TEST_SUITE(Communication, Types);

TYPED_TEST(Communication, AllReduceSumsEverywhere) {
  for (int64_t n : {1, 2, 5, 4099, 100003}) {
    auto x = this->mine(n);
    ranks().wait(ranks().all_reduce(x.tensor));
    auto got = x.values();
    for (int64_t i = 0; i < n; ++i) ASSERT_EQ(load(got[i]), expected_sum(i)) << n << " " << i;
  }
}

TYPED_TEST(Communication, ReduceReachesTheOwnersAndBroadcastAll) {
  auto x = this->mine(5000);
  std::vector<Piece> pieces;
  for (int k = 0; k < 5; ++k) pieces.push_back({x.tensor.slice(k * 1000, 1000), k * 5 % ranks().size()});
  ranks().wait(ranks().reduce(pieces));
  auto reduced = x.values();
  for (int64_t i = 0; i < 5000; ++i) {
    if (pieces[i / 1000].owner == ranks().rank()) {
      ASSERT_EQ(load(reduced[i]), expected_sum(i));
    }
  }
  ranks().wait(ranks().broadcast(pieces));
  auto everywhere = x.values();
  for (int64_t i = 0; i < 5000; ++i) ASSERT_EQ(load(everywhere[i]), expected_sum(i));
}

TYPED_TEST(Communication, ManyOperationsMayBeUnderWay) {
  std::vector<std::unique_ptr<Held<TypeParam>>> xs;
  std::vector<Ticket> tickets;
  for (int k = 0; k < 20; ++k) {
    std::vector<TypeParam> values;
    for (int64_t i = 0; i < 1 + 997 * k; ++i) values.push_back(store<TypeParam>(value(ranks().rank(), i)));
    xs.push_back(std::make_unique<Held<TypeParam>>(values));
  }
  for (int k = 0; k < 20; ++k) {
    Tensor x = xs[k]->tensor;
    tickets.push_back(k % 2 ? ranks().all_reduce(x) : ranks().broadcast({{x, k % ranks().size()}}));
  }
  ranks().wait(tickets[9]);
  ranks().wait(tickets.back());
  for (int k = 0; k < 20; ++k) {
    auto got = xs[k]->values();
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(load(got[i]), k % 2 ? expected_sum(i) : value(k % ranks().size(), i)) << k << " " << i;
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
  Held<float> held(x);
  ranks().wait(ranks().all_reduce(held.tensor));
  EXPECT_EQ(held.values(), in_order);
}

TEST(Communicator, GathersStringsOfAnyLength) {
  auto name = [](int rank) { return std::string(static_cast<size_t>(rank) * 1000, static_cast<char>('a' + rank)); };
  auto all = ranks().gather(name(ranks().rank()));
  ASSERT_EQ(static_cast<int>(all.size()), ranks().size());
  for (int r = 0; r < ranks().size(); ++r) EXPECT_EQ(all[r], name(r));
  EXPECT_EQ(ranks().sum({1.0, 0.5 * ranks().rank()}),
            (std::vector<double>{1.0 * ranks().size(), 0.25 * ranks().size() * (ranks().size() - 1)}));
}

// NCCL sends such strings in several rounds. A block of 1 MiB has the same character throughout.
TEST(Communicator, GathersLongStrings) {
  auto text = [](int rank) {
    std::string whole(static_cast<size_t>(rank) * 17'000'001, ' ');
    for (size_t i = 0; i < whole.size(); ++i)
      whole[i] = static_cast<char>('a' + (static_cast<size_t>(rank) + (i >> 20)) % 26);
    return whole;
  };
  const std::vector<std::string> all = ranks().gather(text(ranks().rank()));
  for (int r = 0; r < ranks().size(); ++r) EXPECT_TRUE(all[r] == text(r)) << r;
}

// The strings of all ranks together have more bytes than an int can count.
TEST(LongCommunicator, GathersMoreThan2GiB) {
  const size_t size = (size_t{1} << 31) / static_cast<size_t>(ranks().size()) + 1000;
  std::string mine(size + static_cast<size_t>(ranks().rank()), static_cast<char>('a' + ranks().rank()));
  mine.back() = 'z';
  const std::vector<std::string> all = ranks().gather(mine);
  for (int r = 0; r < ranks().size(); ++r) {
    ASSERT_EQ(all[r].size(), size + static_cast<size_t>(r));
    EXPECT_EQ(all[r].find_first_not_of(static_cast<char>('a' + r)), all[r].size() - 1);
    EXPECT_EQ(all[r].back(), 'z');
  }
}

TEST(Communicator, CountsWhatIsSent) {
  Traffic before = ranks().traffic();
  Held<float> x(std::vector<float>(1200));
  ranks().wait(ranks().all_reduce(x.tensor));
  std::vector<Piece> pieces = {{x.tensor, ranks().size() - 1}};
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
  EXPECT_EQ(message_of([&] { run_on_all_ranks(ranks(), [] {}); }), "");
  EXPECT_EQ(message_of([&] { run_on_all_ranks(ranks(), [] { fail("no such file"); }); }), "no such file");
  std::string message = message_of([&] {
    run_on_all_ranks(ranks(), [&] {
      if (ranks().rank() == last) fail("disk full");
    });
  });
  EXPECT_EQ(message, last == 0 ? "disk full" : "rank " + std::to_string(last) + ": disk full");
}

TEST(Agreement, NamesTheRankThatDiffers) {
  Json config = {{"steps", 3}, {"optimizer", {{"lr", 0.5}}}};
  check_same(ranks(), "config ", config);
  const int n = ranks().size();
  for (int odd = 0; n > 1 && odd < n; ++odd) {
    Json mine = config;
    if (ranks().rank() == odd) mine["optimizer"]["lr"] = 0.25;
    std::string message = message_of([&] { check_same(ranks(), "config ", mine); });
    // Two ranks have no majority, so the message names rank 1.
    const std::string want = n == 2 ? "rank 1 differs from rank 0: config /optimizer/lr is " +
                                          std::string(odd ? "0.25, not 0.5" : "0.5, not 0.25")
                             : odd > 0 ? "rank " + std::to_string(odd) +
                                             " differs from rank 0 and others: config /optimizer/lr is 0.25, not 0.5"
                                       : "rank 0 differs from rank 1 and others: config /optimizer/lr is 0.25, not 0.5";
    EXPECT_EQ(message, want + "; all ranks need the same");
    mine["optimizer"]["lr"] = 0.5;
    mine["steps"] = ranks().rank() == odd ? Json(3.0) : Json(3);
    EXPECT_EQ(message_of([&] { check_same(ranks(), "config ", mine); }), "");
  }
}

}  // namespace
}  // namespace rowan

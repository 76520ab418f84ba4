// Tests the frequencies of the tokens that `rowan bench` trains on.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "bench/bench_run.h"
#include "data/shard.h"

namespace rowan {
namespace {

TEST(MadeUpShard, HasTheFrequenciesOfText) {
  constexpr int64_t count = 200000, vocabulary = 50257;
  const MadeUpShard made_up(count, vocabulary, Frequencies::zipf);
  const Shard shard(made_up.path());
  std::map<int32_t, double> frequency;
  std::vector<int32_t> tokens(count);
  shard.copy_tokens(0, count, tokens.data());
  for (int32_t token : tokens) frequency[token] += 1.0 / count;
  for (int32_t token : {0, 1, 9})
    EXPECT_NEAR(frequency[token], std::log1p(1.0 / (token + 1)) / std::log(vocabulary + 1.0), 2e-3) << token;
  EXPECT_LT(frequency.rbegin()->first, vocabulary);
  EXPECT_GT(frequency.rbegin()->first, vocabulary * 9 / 10);
}

}  // namespace
}  // namespace rowan

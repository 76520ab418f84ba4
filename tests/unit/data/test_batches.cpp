#include <algorithm>
#include <map>
#include <set>
#include <span>

#include "data/attended_share.h"
#include "data/batch_source.h"
#include "data/overlap.h"
#include "data/permutation.h"
#include "data/prefetch.h"
#include "shared_files.h"
#include "unit/data/token_files.h"

namespace rowan {
namespace {

struct Rows {
  Tokens inputs, targets;
  bool operator==(const Rows&) const = default;
};

Rows take(const BatchSource& source, int64_t first, int64_t count) {
  const size_t size = static_cast<size_t>(count * source.sequence_length());
  Rows rows{Tokens(size, -7), Tokens(size, -7)};
  source.fill(first, count, rows.inputs.data(), rows.targets.data());
  return rows;
}

class Batches : public WithFolder {
 protected:
  // Shards of 40, 7, 0, 1 and 29 tokens. Over all shards, the tokens are 0, 1, 2, ...
  DataConfig uneven(Order order = Order::shuffled) {
    int32_t first = 0;
    int name = 0;
    for (int count : {40, 7, 0, 1, 29}) {
      write(fmt::format("t{}.bin", name++), llmc(counting(count, first)));
      first += count;
    }
    return config({(folder_ / "t*.bin").string()}, order);
  }
  DataConfig config(const std::vector<std::string>& files, Order order = Order::shuffled) {
    DataConfig config;
    config.train = {{files, 1}};
    config.order = order;
    return config;
  }
};

TEST_F(Batches, AShardGivenTwiceIsAnError) {
  const std::string shard = write("a.bin", llmc(counting(40)));
  std::filesystem::create_symlink(shard, folder_ / "link.bin");
  for (const std::string& again : {shard, (folder_ / "*.bin").string(), (folder_ / "link.bin").string()})
    EXPECT_ERROR(BatchSource(config({shard, again}), 8, 1, 256), "given twice in one list of shards");
}

TEST_F(Batches, SharedShardsAreNamed) {
  const std::string a = write("a.bin", llmc(counting(40))), b = write("b.bin", llmc(counting(40, 1)));
  const std::string c = write("c.bin", llmc(counting(40, 2))), copy = write("copy.bin", llmc(counting(40)));
  using Files = std::vector<std::string>;
  const auto lines = [&](const std::vector<Files>& train, const Files& validation) {
    std::vector<Dataset> sets;
    for (const Files& files : train) sets.emplace_back(files, ShardOptions(), Reading::packed, 8, 256);
    const Dataset held_out(validation, {}, Reading::packed, 8, 256);
    return shared_shards(sets, &held_out);
  };
  EXPECT_EQ(lines({{a, b}}, {c}), Files());
  EXPECT_EQ(lines({{a}, {b}}, {c}), Files());
  EXPECT_EQ(lines({{a, b}}, {b, c}), Files{b + " is in data.train and in data.validation"});
  EXPECT_EQ(lines({{a, b}}, {a, b}), Files{a + " is in data.train and in data.validation, as is 1 more shard"});
  EXPECT_EQ(lines({{a}, {b, a}}, {c}), Files{a + " is in data.mixture.0 and in data.mixture.1"});
  EXPECT_EQ(lines({{b, a}}, {copy}),
            Files{copy + " in data.validation has the same tokens as " + a + " in data.train"});
  // The first bytes of these two are equal.
  Tokens longer(4000, 7);
  const std::string e = write("e.bin", llmc(longer));
  longer.back() = 8;
  EXPECT_EQ(lines({{e}}, {write("f.bin", llmc(longer))}), Files());
  EXPECT_EQ(lines({{e}}, {write("f.bin", llmc(Tokens(4000, 7)))}).size(), 1u);
}

// The rows are 0 1 2 3 and 4 0 6 7. If the end token 0 comes first in a document, the documents have 4, 1 and 3 tokens.
// If it comes last, they have 1, 3, 2 and 2. The n-th token of a document attends to n tokens.
TEST_F(Batches, AttentionLeftWithinDocumentsIsCounted) {
  DataConfig data = config({write("a.bin", llmc({0, 1, 2, 3, 4, 0, 6, 7, 8}))}, Order::sequential);
  data.shards.end_id = 0;
  const BatchSource source(data, 4, 1, 256);
  EXPECT_EQ(attended_share(source, {}), 1);
  EXPECT_DOUBLE_EQ(attended_share(source, DocumentConfig{EndToken::first}), (10.0 + 1 + 6) / 20);
  EXPECT_DOUBLE_EQ(attended_share(source, DocumentConfig{EndToken::last}), (1.0 + 6 + 3 + 3) / 20);
}

TEST(Permutation, IsABijectionThatMoves) {
  for (uint64_t size : {1, 2, 3, 5, 16, 17, 1000, 65537}) {
    std::vector<bool> seen(size);
    uint64_t fixed = 0;
    const Permutation permutation(42, 3, size);
    for (uint64_t i = 0; i < size; ++i) {
      const uint64_t to = permutation(i);
      ASSERT_LT(to, size);
      ASSERT_FALSE(seen[to]);
      seen[to] = true;
      fixed += to == i;
    }
    EXPECT_LT(fixed, 12u + (size < 1000 ? size : 0)) << "one fixed point is expected";
  }
}

TEST(Permutation, EveryPlaceIsAboutEquallyLikely) {
  const uint64_t size = 12, trials = 12000;
  std::vector<std::vector<int>> count(size, std::vector<int>(size));
  for (uint64_t epoch = 0; epoch < trials; ++epoch)
    for (uint64_t i = 0; i < size; ++i) ++count[i][Permutation(9, epoch, size)(i)];
  double chi2 = 0;
  for (const auto& row : count)
    for (int n : row) chi2 += (n - 1000.0) * (n - 1000.0) / 1000.0;
  EXPECT_LT(chi2, 190);  // 121 degrees of freedom: mean 121, deviation 15.6
}

TEST(Permutation, DiffersByKeyAndEpochAndNeverChanges) {
  std::vector<uint64_t> a, b, c;
  for (uint64_t i = 0; i < 8; ++i) {
    a.push_back(Permutation(42, 0, 1000)(i));
    b.push_back(Permutation(42, 1, 1000)(i));
    c.push_back(Permutation(43, 0, 1000)(i));
  }
  EXPECT_NE(a, b);
  EXPECT_NE(a, c);
  // Recorded values: a change would break the resumption of runs with shuffled data.
  EXPECT_EQ(a, (std::vector<uint64_t>{318, 896, 128, 858, 10, 503, 584, 709}));
}

TEST_F(Batches, SequentialRowsAreConsecutive) {
  const int64_t T = 8;
  BatchSource source(config({write("a.bin", llmc(counting(3 * T + 1)))}, Order::sequential), T, 1, 100);
  EXPECT_EQ(source.samples_per_epoch(), 3);
  const Rows rows = take(source, 0, 3);
  EXPECT_EQ(rows.inputs, counting(24));
  EXPECT_EQ(rows.targets, counting(24, 1));
  EXPECT_EQ(take(source, 3, 2), take(source, 0, 2)) << "the second epoch";
}

TEST_F(Batches, EveryTokenIsATargetOnceAnEpoch) {
  for (Order order : {Order::sequential, Order::shuffled})
    for (int64_t T : {1, 2, 5, 8, 76, 100}) {
      SCOPED_TRACE(T);
      BatchSource source(uneven(order), T, 42, 77);
      EXPECT_EQ(source.tokens(), 77);
      EXPECT_EQ(source.samples_per_epoch(), (76 + T - 1) / T);
      for (int64_t epoch = 0; epoch < 3; ++epoch) {
        const Rows rows = take(source, epoch * source.samples_per_epoch(), source.samples_per_epoch());
        std::multiset<int32_t> targets;
        for (size_t i = 0; i < rows.targets.size(); ++i) {
          if (rows.targets[i] == ignored_target) continue;
          EXPECT_EQ(rows.targets[i], rows.inputs[i] + 1);
          targets.insert(rows.targets[i]);
        }
        const Tokens wanted = counting(76, 1);
        EXPECT_EQ(targets, std::multiset<int32_t>(wanted.begin(), wanted.end()));
        EXPECT_EQ(source.count(epoch * source.samples_per_epoch(), source.samples_per_epoch()).targets, 76);
      }
    }
}

TEST_F(Batches, EpochsAndSeedsDifferRunsDoNot) {
  const int64_t T = 2;
  BatchSource a(uneven(), T, 42, 77), again(uneven(), T, 42, 77), other(uneven(), T, 43, 77);
  const int64_t n = a.samples_per_epoch();
  EXPECT_EQ(take(a, 0, 3 * n), take(again, 0, 3 * n));
  EXPECT_NE(take(a, 0, n), take(a, n, n));
  EXPECT_NE(take(a, 0, n), take(other, 0, n));
}

TEST_F(Batches, RanksMicroBatchesAndResumptionDoNotMatter) {
  const int64_t T = 4, G = 12;
  BatchSource source(uneven(), T, 5, 77);
  for (int64_t step = 0; step < 8; ++step) {
    const Rows whole = take(source, step * G, G);
    for (int64_t ranks : {1, 2, 4})
      for (int64_t micro : {1, 3}) {
        // The batches of a run that starts at this step. Some of them cross the end of a shard or of an epoch.
        BatchSource resumed(uneven(), T, 5, 77);
        Rows parts{Tokens(whole.inputs.size()), Tokens(whole.targets.size())};
        for (int64_t rank = 0; rank < ranks; ++rank)
          for (int64_t first = rank * (G / ranks); first < (rank + 1) * (G / ranks); first += micro)
            resumed.fill(step * G + first, micro, &parts.inputs[static_cast<size_t>(first * T)],
                         &parts.targets[static_cast<size_t>(first * T)]);
        EXPECT_EQ(parts, whole);
      }
  }
}

TEST_F(Batches, RanksMicroBatchesAndResumptionDoNotMatterInAMixture) {
  const int64_t T = 4, G = 12;
  DataConfig mixture = uneven();
  mixture.train.push_back({{write("b.bin", llmc(counting(50, 100)))}, 0.5});
  const BatchSource source(mixture, T, 5, 200);
  for (int64_t step = 0; step < 12; ++step) {  // several epochs of both corpora
    const Rows whole = take(source, step * G, G);
    BatchSource resumed(mixture, T, 5, 200);
    Rows parts;
    for (int64_t first = step * G; first < (step + 1) * G; first += 2) {
      const Rows part = take(resumed, first, 2);
      parts.inputs.insert(parts.inputs.end(), part.inputs.begin(), part.inputs.end());
      parts.targets.insert(parts.targets.end(), part.targets.begin(), part.targets.end());
    }
    EXPECT_EQ(parts, whole);
  }
}

TEST_F(Batches, MixtureKeepsWeightsAndRepeatsNothingEarly) {
  DataConfig mixture;
  mixture.train = {{{write("a.bin", llmc(counting(3001)))}, 3}, {{write("b.bin", llmc(counting(1001, 5000)))}, 1}};
  const int64_t T = 10;
  BatchSource source(mixture, T, 42, 10000);
  EXPECT_EQ(source.samples_per_epoch(), 400);
  std::map<int32_t, int> seen;
  const int64_t drawn = 20000;
  int64_t from_first = 0, begun = 0;
  int most = 0;
  for (int64_t s = 0; s < drawn; ++s) {
    const int32_t id = take(source, s, 1).inputs[0];
    if (id >= 5000) continue;
    ++from_first;
    // A row occurs for the n-th time only after all 300 rows have occurred n - 1 times.
    const int times = ++seen[id];
    if (times > most) {
      EXPECT_EQ(begun, 300 * most);
      most = times;
    }
    ++begun;
  }
  EXPECT_EQ(seen.size(), 300u);
  EXPECT_EQ(from_first, drawn * 3 / 4);
  EXPECT_DOUBLE_EQ(source.epochs(0, drawn), 15000.0 / 300);
  EXPECT_DOUBLE_EQ(source.epochs(1, drawn), 5000.0 / 100);
  int64_t early = 0;
  for (int64_t s = 0; s < 400; ++s) early += take(source, s, 1).inputs[0] < 5000;
  EXPECT_NEAR(static_cast<double>(early), 300, 40) << "mixed throughout, not one after the other";
  mixture.train[1].weight = 1e-9;
  EXPECT_ERROR(BatchSource(mixture, T, 42, 10000), "expected enough for at least one of 10000 rows");
}

// count() of a range of rows equals the sum over the rows.
TEST_F(Batches, CountsAreThoseOfTheRows) {
  DataConfig mixed = uneven();
  mixed.train.push_back({{write("other.bin", llmc(counting(60)))}, 2.5});
  DataConfig documents = config({write("documents.bin", llmc({9, 1, 2, 9, 3, 4, 5, 6, 7, 8, 9, 1, 9, 2, 3}))});
  documents.shards.end_id = 9;
  documents.reading = Reading::documents;
  for (const DataConfig& data : {uneven(), uneven(Order::sequential), mixed, documents}) {
    const BatchSource source(data, 8, 1, 256);
    for (const auto& [first, count] : {std::pair(0, 1), std::pair(0, 40), std::pair(3, 1), std::pair(7, 90),
                                       std::pair(9990, 30), std::pair(12345, 20011)}) {
      RowCount sum;
      const Rows rows = take(source, first, count);
      for (size_t i = 0; i < rows.targets.size(); i += 8) {
        const auto row = std::span(rows.targets).subspan(i, 8);
        const int64_t targets = 8 - std::ranges::count(row, ignored_target);
        sum.targets += targets;
        sum.inputs += std::min<int64_t>(8, targets + 1);  // the last token of a document has no target
      }
      const RowCount counted = source.count(first, count);
      EXPECT_EQ(counted.targets, sum.targets) << first << " " << count;
      if (data.reading == Reading::documents) {
        EXPECT_EQ(counted.inputs, sum.inputs) << first << " " << count;
      }
    }
    const RowCount epoch = source.count(0, source.samples_per_epoch());
    if (data.train.size() == 1) {
      EXPECT_EQ(source.count(0, source.samples_per_epoch() << 30).targets, epoch.targets << 30);
    }
  }
}

TEST_F(Batches, DocumentsAreCutEndedAndPadded) {
  // End token 9 comes before each document. The second shard continues the last document of the first shard.
  write("d0.bin", llmc({9, 1, 2, 9, 9, 3, 4}));
  write("d1.bin", llmc({5, 6, 7, 9, 8}));
  DataConfig data = config({(folder_ / "d*.bin").string()}, Order::sequential);
  data.reading = Reading::documents;
  data.shards.end_id = 9;
  const int32_t X = ignored_target;
  const Rows wanted{{1, 2, 9, 0, 9, 0, 0, 0, 3, 4, 5, 9, 8, 9, 0, 0}, {2, 9, X, X, X, X, X, X, 4, 5, 9, X, 9, X, X, X}};
  auto check = [&] {
    BatchSource source(data, 4, 1, 10);
    EXPECT_EQ(source.samples_per_epoch(), 4);
    EXPECT_EQ(take(source, 0, 4), wanted);
    EXPECT_EQ(source.count(0, 4).targets, 2 + 0 + 3 + 1);
    EXPECT_EQ(source.count(0, 4).inputs, 3 + 1 + 4 + 2);
  };
  check();
  // The same documents, found through index files instead of a scan for the end token.
  write("d0.bin.documents", rowan_index({0, 3, 4}, 7));
  write("d1.bin.documents", rowan_index({3}, 5));
  check();
  // The same documents, with the end token after each.
  write("d0.bin", bare({1, 2, 9, 9, 3, 4, 5}, 2));
  write("d1.bin", bare({6, 7, 9, 8, 9}, 2));
  data.shards = {ShardFormat::nanogpt, 2, 9};
  check();
  data.shards.end_id = -1;
  EXPECT_ERROR(BatchSource(data, 4, 1, 10), "data.end_id");
}

// Half of the tokens would be the high halves of ids, which a model learns to predict.
TEST_F(Batches, IdsOfFourBytesAreNotReadAsIdsOfTwo) {
  Tokens low, high;
  for (int32_t i = 0; i < 300; ++i) low.push_back(1 + i % 49), high.push_back(1 + (i % 7 == 0 ? 70000 : i % 49));
  const auto read_as = [&](const std::string& bytes, int width, int64_t vocabulary) {
    DataConfig data = config({write("n.bin", bytes)});
    data.shards = {ShardFormat::nanogpt, width, -1};
    BatchSource(data, 8, 1, vocabulary);
  };
  const std::string rest = " of the first 600 ids, expected ids of 2 bytes; for ids of 4 bytes set data.width to 4";
  EXPECT_ERROR(read_as(bare(low, 4), 2, 50), "n.bin: found 0 as every second" + rest);
  EXPECT_ERROR(read_as(bare(high, 4), 2, 70002), "n.bin: found high halves of ids as every second" + rest);
  EXPECT_NO_THROW(read_as(bare(low, 4), 4, 50));
  EXPECT_NO_THROW(read_as(bare(high, 4), 4, 70002));
  EXPECT_NO_THROW(read_as(bare(low, 2), 2, 50));
  EXPECT_NO_THROW(read_as(bare(Tokens(600), 2), 2, 50));  // zeros are as likely ids of 2 bytes
}

TEST_F(Batches, UserMistakesAreNamed) {
  EXPECT_ERROR(BatchSource(config({write("a.bin", llmc({1, 2, 50, 3}))}), 2, 1, 50),
               "a.bin: token 2: found id 50, expected less than 50");
  EXPECT_ERROR(BatchSource(config({write("w.bin", llmc({1, -5, 3}, 4))}), 2, 1, 50), "token 1: found id 4294967291");
  const BatchSource fits(config({write("t.bin", llmc({1, 2, 49, 3}))}), 2, 1, 50);
  EXPECT_NO_THROW(fits.corpora()[0].look_through(50, "the number of ids of bytes"));
  EXPECT_ERROR(fits.corpora()[0].look_through(49, "the number of ids of bytes"),
               "t.bin: token 2: found id 49, expected less than 49, the number of ids of bytes");
  for (const Tokens& few : {Tokens{}, Tokens{1}})
    EXPECT_ERROR(BatchSource(config({write("e.bin", llmc(few))}), 2, 1, 50), "expected enough for one row");
  EXPECT_ERROR(BatchSource(config({(folder_ / "none*").string()}), 2, 1, 50), "no such file");
  std::string bytes = llmc({1, 2, 3});
  poke(bytes, 4 * shard::word_mark, shard::rowan_mark);
  poke(bytes, 4 * shard::word_vocab, 51);
  EXPECT_ERROR(BatchSource(config({write("v.bin", bytes)}), 2, 1, 50), "found a vocabulary of 51");
  // The vocabulary size in a header is trusted until a token beyond it is read.
  poke(bytes, 4 * shard::word_vocab, 3);
  BatchSource lying(config({write("l.bin", bytes)}), 2, 1, 3);
  EXPECT_ERROR(take(lying, 0, 1), "l.bin: token 2: found id 3, expected less than 3");
}

TEST_F(Batches, FingerprintNamesTheShardThatChanged) {
  const Json saved = Json::parse(BatchSource(uneven(), 4, 1, 77).fingerprint().dump());
  auto now = [&](const DataConfig& data, int64_t T, uint64_t seed) {
    return error_of([&] { check_fingerprint(saved, BatchSource(data, T, seed, 77).fingerprint()); });
  };
  EXPECT_EQ(now(uneven(), 4, 1), "");
  EXPECT_NE(now(uneven(), 4, 2).find("seed: found 2, expected 1"), std::string::npos);
  EXPECT_NE(now(uneven(), 5, 1).find("sequence_length: found 5, expected 4"), std::string::npos);
  EXPECT_NE(now(uneven(Order::sequential), 4, 1).find("expected \"shuffled\""), std::string::npos);
  DataConfig changed = uneven();
  write("t1.bin", llmc(counting(7, 3)));
  EXPECT_NE(now(changed, 4, 1).find("shard t1.bin: hash"), std::string::npos);
  write("t1.bin", llmc(counting(8)));
  EXPECT_NE(now(changed, 4, 1).find("shard t1.bin: bytes: found 1040, expected 1038"), std::string::npos);
  uneven();
  write("t9.bin", llmc(counting(8)));
  EXPECT_NE(now(changed, 4, 1).find("found 6 shards, expected 5 as when the checkpoint was written"),
            std::string::npos);
}

TEST_F(Batches, AShardThatDiffersIsNamed) {
  const auto shards = [&] { return shard_fingerprints(BatchSource(uneven(), 4, 1, 77).corpora()[0]); };
  const Json saved = Json::parse(shards().dump());
  EXPECT_EQ(shard_difference(saved, shards()), "");
  Json other = saved, fewer = saved;
  other[1]["tokens"] = 8;
  fewer.erase(4);
  EXPECT_EQ(shard_difference(other, saved), "t1.bin: tokens was 8 and is now 7");
  EXPECT_EQ(shard_difference(fewer, saved), "the number of shards was 4 and is now 5");
  EXPECT_EQ(shard_difference(Json::array({7}), saved), "t0.bin: name was null and is now \"t0.bin\"");
  for (const Json& older : {Json(), Json(7), Json::object()}) EXPECT_EQ(shard_difference(older, saved), "");
}

TEST_F(Batches, PrefetchChangesNothing) {
  const int64_t T = 4, rows = 3;
  BatchSource source(uneven(), T, 5, 77);
  auto fill = [&](int64_t item, int32_t* inputs, int32_t* targets) { source.fill(item * rows, rows, inputs, targets); };
  Prefetcher with(fill, 2, T * rows), without(fill, 2, T * rows, false);
  for (int64_t item = 2; item < 50; ++item) {
    const Rows wanted = take(source, item * rows, rows);
    for (Prefetcher* prefetcher : {&with, &without}) {
      const Prefetcher::Batch batch = prefetcher->next();
      EXPECT_TRUE(std::equal(wanted.inputs.begin(), wanted.inputs.end(), batch.inputs));
      EXPECT_TRUE(std::equal(wanted.targets.begin(), wanted.targets.end(), batch.targets));
    }
  }
}

TEST_F(Batches, PrefetchCarriesErrors) {
  for (bool thread : {true, false}) {
    Prefetcher prefetcher(
        [](int64_t item, int32_t* inputs, int32_t*) {
          if (item == 3) fail("item 3 is bad");
          inputs[0] = static_cast<int32_t>(item);
        },
        1, 1, thread);
    EXPECT_EQ(prefetcher.next().inputs[0], 1);
    EXPECT_EQ(prefetcher.next().inputs[0], 2);
    EXPECT_ERROR(prefetcher.next(), "item 3 is bad");
    EXPECT_ERROR(prefetcher.next(), "item 3 is bad");
  }
}

TEST_F(Batches, GoldenTrajectoryShard) {
  ROWAN_SHARED_OR_SKIP(path, "golden/trajectories/adamw/tokens.bin");
  const int64_t B = 4, T = 16, steps = 40;
  BatchSource source(config({path.string()}, Order::sequential), T, 1, 96);
  ASSERT_EQ(source.samples_per_epoch(), steps * B);
  Shard shard(path);
  Tokens expected(static_cast<size_t>(B * T + 1));
  for (int64_t step = 0; step < steps; ++step) {
    shard.copy_tokens(step * B * T, B * T + 1, expected.data());
    const Rows rows = take(source, step * B, B);
    EXPECT_TRUE(std::equal(rows.inputs.begin(), rows.inputs.end(), expected.begin()));
    EXPECT_TRUE(std::equal(rows.targets.begin(), rows.targets.end(), expected.begin() + 1));
  }
}

TEST_F(Batches, ConfigIsStrict) {
  auto parse = [](const std::string& text) {
    auto source = std::make_shared<const JsonSource>(JsonSource{"run.json", text});
    const Json json = parse_json(*source);
    return parse_data(JsonObject(source, json));
  };
  DataConfig data = parse(R"({"train": ["a", "b"], "validation": "v", "reading": "documents", "order": "sequential",
                             "format": "nanogpt", "width": 2, "end_id": 7})");
  EXPECT_EQ(data.train.at(0).files, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(data.validation, (std::vector<std::string>{"v"}));
  EXPECT_EQ(data.reading, Reading::documents);
  EXPECT_EQ(data.order, Order::sequential);
  EXPECT_EQ(data.shards.format, ShardFormat::nanogpt);
  EXPECT_EQ(data.shards.width, 2);
  EXPECT_EQ(data.shards.end_id, 7);
  data = parse(R"({"mixture": [{"glob": "a", "weight": 2}, {"glob": ["b", "c"], "weight": 0.5}]})");
  EXPECT_EQ(data.train.size(), 2u);
  EXPECT_EQ(data.train[1].weight, 0.5);
  EXPECT_ERROR(parse(R"({"trian": "a"})"), "did you mean 'train'");
  EXPECT_ERROR(parse(R"({"train": []})"), "train: found an empty list");
  EXPECT_ERROR(parse(R"({"train": "a", "order": "suffled"})"), "did you mean 'shuffled'");
  EXPECT_ERROR(parse(R"({"train": "a", "mixture": []})"), "give one of them");
  EXPECT_ERROR(parse(R"({"train": "a", "width": 3})"), "found 3, expected 2 or 4");
  EXPECT_ERROR(parse(R"({"train": "a", "format": "nanogpt"})"), "give width, 2 or 4");
  EXPECT_ERROR(parse(R"({"mixture": [{"glob": "a", "weight": 0}]})"), "mixture.0.weight: expected more than 0");
  EXPECT_ERROR(parse(R"({"mixture": [{"glob": "a", "weight": 1, "wait": 2}]})"), "unknown key 'wait'");
}

TEST_F(Batches, TargetsOfEndTokensMayNotCount) {
  DataConfig data = config({write("t.bin", llmc({9, 1, 2, 9, 3, 9, 9, 4, 5, 6, 7}))}, Order::sequential);
  data.shards.end_id = 9;
  data.documents = DocumentConfig{.end_targets = EndTargets::ignored};
  const BatchSource source(data, 5, 1, 10);
  EXPECT_EQ(source.end_id(), 9);
  EXPECT_EQ(take(source, 0, 2), (Rows{{9, 1, 2, 9, 3, 9, 9, 4, 5, 6}, {-100, 2, 9, -100, 9, -100, -100, 5, 6, 7}}));
  EXPECT_EQ(source.count(0, 1).targets, 3);
  EXPECT_EQ(source.count(1, 1).targets, 3);
  EXPECT_EQ(source.count(0, 2).inputs, 10);
  data.documents->end_targets = EndTargets::counted;
  EXPECT_EQ(BatchSource(data, 5, 1, 10).count(0, 2).targets, 10);
}

TEST_F(Batches, DocumentsNeedAnEndTokenWhereTheyAreSaidToHaveIt) {
  DataConfig data = config({write("t.bin", llmc(counting(20)))});
  data.documents = DocumentConfig();
  EXPECT_ERROR(BatchSource(data, 5, 1, 100), "t.bin: data.documents: found end id");
  data.shards.end_id = 100;
  EXPECT_ERROR(BatchSource(data, 5, 1, 100),
               "found end id 100, expected an id of the vocabulary, 0 to 99; set data.end_id");
  data.shards.end_id = 3;
  data.documents->end_token = EndToken::last;
  EXPECT_ERROR(
      BatchSource(data, 5, 1, 100),
      "data.documents.end_token: found last, expected first, because this shard has end tokens before its documents");
}

}  // namespace
}  // namespace rowan

#include <zlib.h>

#include <cmath>
#include <sstream>

#include "base/random.h"
#include "data/batch_source.h"
#include "evaluate/hellaswag.h"
#include "evaluate/validation.h"
#include "shared_files.h"
#include "unit/data/token_files.h"

namespace rowan {
namespace {

using Validation = WithFolder;
using HellaSwag = WithFolder;

TEST_F(Validation, FixedRowsUpToTheLimit) {
  DataConfig config;
  config.validation = {write("v.bin", llmc(counting(35)))};
  const int64_t T = 8;
  const ValidationSet all(config, T, 100, 1000), some(config, T, 100, 17);
  EXPECT_EQ(all.rows(), 5);
  EXPECT_EQ(all.targets(), 34);
  EXPECT_EQ(some.rows(), 3);
  EXPECT_EQ(some.targets(), 24);
  Tokens inputs(4 * T, -7), targets(4 * T, -7);
  some.fill(1, 4, inputs.data(), targets.data());
  const Tokens real = counting(16, 8);
  EXPECT_TRUE(std::equal(real.begin(), real.end(), inputs.begin()));
  EXPECT_EQ(std::count(inputs.begin() + 16, inputs.end(), 0), 16);
  EXPECT_EQ(std::count(targets.begin() + 16, targets.end(), ignored_target), 16);
}

// What evaluate_model in GaLore's program computes over all ranks, for documents of `inputs[i]` tokens without padding.
// validation_losses() must give the same result. The count of batches starts at `first_count`.
double as_the_authors(const std::vector<int64_t>& inputs, const std::vector<double>& sums, int64_t ranks, int64_t rows,
                      int64_t wanted, int first_count) {
  double all = 0;
  for (int64_t rank = 0; rank < ranks; ++rank) {
    std::vector<size_t> mine;  // the documents that Hugging Face's split_dataset_by_node gives this rank
    for (size_t i = static_cast<size_t>(rank); i < inputs.size(); i += static_cast<size_t>(ranks)) mine.push_back(i);
    int64_t tokens = 0, batches = first_count;
    double total = 0;
    for (size_t begin = 0; begin < mine.size() && tokens * ranks <= wanted; begin += static_cast<size_t>(rows)) {
      double loss = 0, targets = 0;
      for (size_t i = begin; i < std::min(mine.size(), begin + static_cast<size_t>(rows)); ++i) {
        loss += sums[mine[i]];
        targets += static_cast<double>(inputs[mine[i]] - 1);
        tokens += inputs[mine[i]];
      }
      total += loss / targets;
      ++batches;
    }
    all += total / static_cast<double>(batches);
  }
  return all / static_cast<double>(ranks);
}

TEST_F(Validation, BatchMeansAreThoseOfTheAuthorsProgram) {
  const int64_t T = 16;
  Random random(7, 1);
  Tokens stream;
  std::vector<int64_t> inputs;
  std::vector<double> sums;
  for (int document = 0; document < 333; ++document) {
    const auto content = static_cast<int64_t>(1 + random.below(20));
    for (int64_t i = 0; i < content; ++i) stream.push_back(7);
    stream.push_back(1);
    inputs.push_back(std::min(content + 1, T));
    sums.push_back(static_cast<double>(inputs.back() - 1) * (1 + 2 * random.uniform()));
  }
  DataConfig config;
  config.reading = Reading::documents;
  config.shards = {ShardFormat::nanogpt, 2, 1};
  config.validation = {write("d.bin", bare(stream, 2))};
  for (int64_t ranks : {1, 2, 3, 8, 64})
    for (int64_t rows : {1, 4, 16, 64})
      for (int64_t wanted : {1, 100, 1000, 2500, 1000000}) {
        config.batch_means = {ranks, rows};
        const ValidationSet set(config, T, 100, wanted);
        const auto of_set = std::span(sums).first(static_cast<size_t>(set.rows()));
        const ValidationLosses losses = validation_losses(set, of_set);
        const std::string place = fmt::format("{} ranks, {} rows, {} tokens", ranks, rows, wanted);
        EXPECT_NEAR(*losses.batch_mean, as_the_authors(inputs, sums, ranks, rows, wanted, 0), 1e-12) << place;
        EXPECT_NEAR(*losses.galore, as_the_authors(inputs, sums, ranks, rows, wanted, 1), 1e-12) << place;
        double loss = 0, targets = 0;
        for (size_t i = 0; i < of_set.size(); ++i) loss += sums[i], targets += static_cast<double>(inputs[i] - 1);
        EXPECT_DOUBLE_EQ(losses.mean, loss / targets) << place;
        EXPECT_EQ(losses.targets, static_cast<int64_t>(targets)) << place;
      }
  config.batch_means = {334, 1};
  EXPECT_ERROR(ValidationSet(config, T, 100, 1000), "data.batch_means: found 334 ranks, expected at most the 333 rows");
}

TEST_F(Validation, WithoutBatchesThereIsOneFigure) {
  DataConfig config;
  config.validation = {write("v.bin", llmc(counting(35)))};
  const ValidationSet set(config, 8, 100, 17);
  const ValidationLosses losses = validation_losses(set, std::vector<double>{8, 16, 24});
  EXPECT_DOUBLE_EQ(losses.mean, 2);
  EXPECT_EQ(losses.targets, 24);
  EXPECT_FALSE(losses.batch_mean || losses.galore);
  config.batch_means = {2, 1};
  // Each of the 2 ranks takes two batches of 8 tokens. After one batch per rank, the ranks have 16 tokens, which do not
  // exceed the 17 that are wanted.
  const ValidationLosses batches =
      validation_losses(ValidationSet(config, 8, 100, 17), std::vector<double>{8, 16, 24, 48});
  EXPECT_DOUBLE_EQ(batches.batch_mean.value(), 3);  // the ranks' means are (1 + 3) / 2 and (2 + 6) / 2
  EXPECT_FALSE(batches.galore);                     // only defined for one document per row
}

std::vector<Tokens> golden_ids(const std::filesystem::path& path) {
  std::string text;
  gzFile file = gzopen(path.c_str(), "rb");
  char block[65536];
  for (int got; (got = gzread(file, block, sizeof block)) > 0;) text.append(block, static_cast<size_t>(got));
  gzclose(file);
  std::vector<Tokens> documents;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream ids(line);
    documents.emplace_back(std::istream_iterator<int32_t>(ids), std::istream_iterator<int32_t>());
  }
  return documents;
}

// The C4 papers use this rule. A document of more than 256 ids becomes its first 255 ids and the end token 1. A
// document of fewer than 256 ids is padded with 0. The target at position t is the id at position t + 1. Padding is no
// target.
TEST_F(Validation, DocumentsAreThoseOfTheC4Papers) {
  ROWAN_SHARED_OR_SKIP(path, "corpora/goldens/t5_hf_tokenizers0232_with_eos_c4_demo_300docs.ids.gz");
  const std::vector<Tokens> documents = golden_ids(path);
  ASSERT_EQ(documents.size(), 300u);
  Tokens stream;
  for (const Tokens& document : documents) stream.insert(stream.end(), document.begin(), document.end());
  DataConfig config;
  config.reading = Reading::documents;
  config.shards = {ShardFormat::nanogpt, 2, 1};
  config.validation = {write("c4.bin", bare(stream, 2))};
  const int64_t T = 256;
  const ValidationSet set(config, T, 32000, 1000000);
  ASSERT_EQ(set.rows(), 300);
  Tokens inputs(T), targets(T);
  int64_t targets_wanted = 0;
  for (int64_t row = 0; row < 300; ++row) {
    Tokens ids = documents[static_cast<size_t>(row)];
    if (ids.size() > T) ids = Tokens(ids.begin(), ids.begin() + T - 1), ids.push_back(1);
    targets_wanted += static_cast<int64_t>(ids.size()) - 1;
    ids.resize(T, 0);
    Tokens labels;
    for (size_t t = 0; t < T; ++t) labels.push_back(t + 1 < T && ids[t + 1] != 0 ? ids[t + 1] : ignored_target);
    set.fill(row, 1, inputs.data(), targets.data());
    ASSERT_EQ(inputs, ids) << "document " << row;
    ASSERT_EQ(targets, labels) << "document " << row;
  }
  EXPECT_EQ(set.targets(), targets_wanted);
  // An independent count on these documents: 77.9% of the positions are not padding.
  EXPECT_NEAR(static_cast<double>(set.targets() + 300) / (300.0 * T), 0.779, 0.0005);
}

std::string item_bytes(uint16_t number, uint16_t label, const Tokens& context, const std::vector<Tokens>& endings) {
  std::string body;
  append(body, number);
  append(body, label);
  append(body, static_cast<uint16_t>(endings.size()));
  append(body, static_cast<uint16_t>(context.size()));
  body += bare(context, 2);
  for (const Tokens& ending : endings) {
    append(body, static_cast<uint16_t>(ending.size()));
    body += bare(ending, 2);
  }
  std::string bytes;
  append(bytes, uint16_t{65535});
  append(bytes, static_cast<uint16_t>(body.size() + 4));
  return bytes + body;
}

std::string evaluation_file(int32_t count, const std::string& items) {
  std::string bytes(1024, '\0');
  poke(bytes, 0, hellaswag_magic);
  poke(bytes, 4, 1);
  poke(bytes, 8, count);
  return bytes + items;
}

// A model whose loss for a target is the target's id, and 0 for an ignored target.
void loss_is_id(const int32_t*, const int32_t* targets, float* losses, int64_t count) {
  for (int64_t i = 0; i < count; ++i) losses[i] = targets[i] == ignored_target ? 0.0f : static_cast<float>(targets[i]);
}

TEST_F(HellaSwag, ChoosesTheEndingOfLowestLoss) {
  // Item 0: ending 1 has the lowest mean loss (2), ending 2 the lowest sum (3). Item 1: both are lowest for ending 3.
  const std::string path =
      write("h.bin", evaluation_file(2, item_bytes(0, 1, {7, 8}, {{9, 9}, {2, 2, 2}, {3}, {9}}) +
                                            item_bytes(1, 3, {7, 7, 7, 7, 7, 7}, {{5}, {6}, {4, 8}, {1}})));
  const auto items = read_hellaswag(path, nullptr);
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(items[0].context, (Tokens{7, 8}));
  EXPECT_EQ(items[0].endings[1], (Tokens{2, 2, 2}));
  EXPECT_EQ(items[1].label, 3);
  for (int64_t T : {4, 8})
    for (int64_t batch : {1, 3, 8, 20})
      for (int ranks : {1, 2, 3}) {
        HellaSwagScore sum;
        std::vector<int> calls;
        for (int rank = 0; rank < ranks; ++rank) {
          calls.push_back(0);
          const HellaSwagScore score = score_hellaswag(
              items, batch, T,
              [&](const int32_t* inputs, const int32_t* targets, float* losses) {
                ++calls.back();
                loss_is_id(inputs, targets, losses, batch * T);
              },
              rank, ranks);
          sum.items += score.items;
          sum.correct_by_mean += score.correct_by_mean;
          sum.correct_by_sum += score.correct_by_sum;
        }
        EXPECT_EQ(sum.items, 2);
        EXPECT_EQ(sum.correct_by_mean, 2);
        EXPECT_EQ(sum.correct_by_sum, 1);
        for (int made : calls) EXPECT_EQ(made, calls[0]);
      }
  const HellaSwagScore score{4, 3, 1};
  EXPECT_DOUBLE_EQ(score.acc_norm(), 0.75);
  EXPECT_DOUBLE_EQ(score.acc(), 0.25);
}

TEST_F(HellaSwag, RowsHoldTheEndOfTheContextAndTargetsOfTheEnding) {
  const std::string path = write("h.bin", evaluation_file(1, item_bytes(0, 0, {1, 2, 3, 4}, {{5, 6}, {5}, {5}, {5}})));
  const auto items = read_hellaswag(path, nullptr);
  const int32_t X = ignored_target;
  auto first_row = [&](int64_t T) {
    std::pair<Tokens, Tokens> row;
    score_hellaswag(items, 4, T, [&](const int32_t* inputs, const int32_t* targets, float* losses) {
      row = {Tokens(inputs, inputs + T), Tokens(targets, targets + T)};
      loss_is_id(inputs, targets, losses, 4 * T);
    });
    return row;
  };
  EXPECT_EQ(first_row(6), (std::pair(Tokens{1, 2, 3, 4, 5, 0}, Tokens{X, X, X, 5, 6, X})));
  EXPECT_EQ(first_row(3), (std::pair(Tokens{3, 4, 5}, Tokens{X, 5, 6})));
  EXPECT_EQ(read_hellaswag(path, nullptr, 2, 7).size(), 1u);
  EXPECT_ERROR(read_hellaswag(path, nullptr, 1, 7), "h.bin: example 0: found an ending of 2 tokens");
  EXPECT_ERROR(read_hellaswag(path, nullptr, 6, 6), "h.bin: example 0: found id 6, expected less than 6");
  write("h.bin", evaluation_file(1, item_bytes(0, 0, {}, {{5}, {5}, {5}, {5}})));
  EXPECT_ERROR(read_hellaswag(path, nullptr, 6, 7), "h.bin: example 0: found no context");
}

TEST_F(HellaSwag, ReadsItsJsonLines) {
  const auto bytes = make_tokenizer("bytes");
  const std::string good =
      R"({"ind": 3, "ctx": "A man", "endings": ["a", "bc", "d", "e"], "label": 2, "source_id": "x"})";
  const auto items = read_hellaswag(write("h.jsonl", good + "\n\n" + good), bytes.get());
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(bytes->decode(items[1].context), "A man");
  EXPECT_EQ(bytes->decode(items[1].endings[1]), " bc");
  EXPECT_EQ(items[1].label, 2);
  EXPECT_ERROR(read_hellaswag(write("h.jsonl", good), nullptr), "needs a tokenizer");
  EXPECT_ERROR(read_hellaswag(write("h.jsonl", good + "\n{}\n"), bytes.get()), "h.jsonl:2: found no HellaSwag record");
  EXPECT_ERROR(read_hellaswag(write("h.jsonl", "\n"), bytes.get()), "no examples");
}

TEST_F(HellaSwag, DamageIsNamedWhereverItIs) {
  const std::string good =
      evaluation_file(2, item_bytes(0, 1, {7, 8}, {{9}, {2}, {3}, {9}}) + item_bytes(1, 3, {7}, {{5}, {6}, {4}, {1}}));
  for (size_t size = 0; size < good.size(); size += size < 1024 ? 64 : 1)
    EXPECT_NE(error_of([&] { read_hellaswag(write("h.bin", good.substr(0, size)), nullptr); }), "") << size;
  EXPECT_ERROR(read_hellaswag(write("h.bin", good + "xx"), nullptr), "2 bytes after the last of 2 examples");
  std::string bad = good;
  poke(bad, 1024 + 6, uint16_t{4});
  EXPECT_ERROR(read_hellaswag(write("h.bin", bad), nullptr), "byte 1030: the label: found 4, expected 0 to 3");
  for (size_t at = 1024; at < good.size(); ++at) {
    bad = good;
    bad[at] ^= 0x55;
    error_of([&] { read_hellaswag(write("h.bin", bad), nullptr); });
  }
}

}  // namespace
}  // namespace rowan

#include <zlib.h>

#include <cmath>
#include <sstream>

#include "base/random.h"
#include "data/batch_source.h"
#include "evaluate/validation.h"
#include "shared_files.h"
#include "unit/data/token_files.h"

namespace rowan {
namespace {

using Validation = WithFolder;

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

}  // namespace
}  // namespace rowan

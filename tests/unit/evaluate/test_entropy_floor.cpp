// Tests where the entropy of a text is the floor of a validation loss.
#include "evaluate/entropy_floor.h"
#include "evaluate/validation.h"
#include "temporary_folder.h"
#include "unit/data/token_files.h"

namespace rowan {
namespace {

TEST(EntropyFloor, IsReadFromBesideTheShard) {
  const TemporaryFolder folder;
  folder.write("entropy.json", R"({"entropy": 0.5, "seed": 1, "shards": {"validation.bin": {"nats_per_token": 0.4}}})");
  std::optional<EntropyFloor> floor = entropy_floor(folder / "validation.bin");
  ASSERT_TRUE(floor);
  EXPECT_EQ(floor->source, 0.5);
  EXPECT_EQ(floor->sample, 0.4);
  EXPECT_FALSE(entropy_floor(folder / "other.bin"));
  EXPECT_FALSE(entropy_floor(folder / "nowhere/validation.bin"));
}

// A shard of 35 tokens with the documents [0, ...] and [20, ...], whose end token is 20.
class FloorOf : public WithFolder {
 protected:
  void SetUp() override {
    WithFolder::SetUp();
    config_.validation = {write("v.bin", llmc(counting(35)))};
    config_.shards.end_id = 20;
    write("entropy.json", R"({"entropy": 0.5, "shards": {"v.bin": {"nats_per_token": 0.4}}})");
  }
  bool has_floor(int64_t eval_tokens = 1000) {
    warnings_.clear();
    const ValidationSet set(config_, 8, 100, eval_tokens);
    const auto floor = floor_of(set, [&](const std::string& text) { warnings_.push_back(text); });
    if (!floor) return false;
    EXPECT_EQ(floor->sample, 0.4);
    return true;
  }

  DataConfig config_;
  std::vector<std::string> warnings_;
};

TEST_F(FloorOf, BoundsTheLossOfAWholeShardOnly) {
  EXPECT_TRUE(has_floor());
  EXPECT_TRUE(has_floor(34));
  EXPECT_FALSE(has_floor(24)) << "the first 3 of 5 rows";
  config_.documents.emplace();
  EXPECT_TRUE(has_floor());
  config_.documents->end_targets = EndTargets::ignored;
  EXPECT_FALSE(has_floor()) << "a target does not count";
  config_.documents.reset();
  config_.reading = Reading::documents;
  EXPECT_FALSE(has_floor());
  config_.reading = Reading::packed;
  config_.validation.push_back(write("w.bin", llmc(counting(35))));
  EXPECT_FALSE(has_floor()) << "two shards";
  EXPECT_TRUE(warnings_.empty());
}

TEST_F(FloorOf, AMalformedFileIsAWarning) {
  const std::string path = write("entropy.json", R"({"entropy": 0.5, "shards": {"v.bin": {}}})");
  EXPECT_FALSE(has_floor());
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_EQ(warnings_[0], "no entropy floor: " + path + ": shards.v.bin.nats_per_token: is missing");
  EXPECT_EQ(warnings_[0].find('\n'), std::string::npos);
}

}  // namespace
}  // namespace rowan

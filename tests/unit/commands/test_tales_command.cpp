#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/files.h"
#include "commands/commands.h"
#include "corpus/tales.h"
#include "data/shard.h"
#include "evaluate/entropy_floor.h"
#include "temporary_folder.h"
#include "tokenizer/tokenizer.h"

namespace rowan {
namespace {

void write_tales(const std::string& folder, std::vector<std::string> arguments) {
  CommandLine line("tales", "");
  add_tales(line);
  arguments.insert(arguments.end(), {"--out", folder});
  line.parse(arguments);
}

TEST(TalesCommand, ShardsHoldTheStoriesAndTheirProbability) {
  TemporaryFolder folder;
  write_tales(folder / "out", {"--stories", "30", "--validation-stories", "7", "--seed", "3"});
  std::vector<std::filesystem::path> files = expand_glob(folder / "out/validation*.bin");
  ASSERT_EQ(files.size(), 1u);
  Shard shard(files[0]);
  EXPECT_EQ(shard.vocab_size(), 257);
  std::unique_ptr<Tokenizer> tokenizer = make_tokenizer("bytes");
  EXPECT_EQ(shard.tokenizer_hash(), tokenizer->hash());
  DocumentIndex documents = shard.documents();
  ASSERT_EQ(documents.size(), 7);
  Tales tales;
  double nats = 0;
  for (int64_t i = 0; i < 7; ++i) {
    int64_t begin = documents.start(i), end = i + 1 < 7 ? documents.start(i + 1) : shard.tokens();
    std::vector<int32_t> ids(end - begin);
    shard.copy_tokens(begin, end - begin, ids.data());
    EXPECT_EQ(ids[0], 256);
    std::string story = tokenizer->decode(ids);
    EXPECT_EQ(story, tales.story(3, (uint64_t{1} << 40) + i));
    nats += tales.surprise(story);
  }
  std::optional<EntropyFloor> floor = entropy_floor(files[0]);
  ASSERT_TRUE(floor);
  EXPECT_NEAR(floor->sample, nats / static_cast<double>(shard.tokens()), 1e-12);
  EXPECT_NEAR(floor->source, tales.expectation().nats_per_token(), 1e-12);
}

TEST(TalesCommand, ValidationDoesNotDependOnTheSizeOfTraining) {
  TemporaryFolder folder;
  auto validation = [&](const std::string& stories) {
    write_tales(folder / stories, {"--stories", stories, "--validation-stories", "5"});
    return read_file(expand_glob(folder / stories + "/validation*.bin")[0]);
  };
  EXPECT_EQ(validation("3"), validation("4"));
}

}  // namespace
}  // namespace rowan

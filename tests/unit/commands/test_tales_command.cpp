#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/files.h"
#include "commands/commands.h"
#include "corpus/tales.h"
#include "data/shard.h"
#include "evaluate/entropy_floor.h"
#include "tokenizer/tokenizer.h"

namespace rowan {
namespace {

std::filesystem::path write_tales(const std::string& name, std::vector<std::string> arguments) {
  std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / name;
  std::filesystem::remove_all(folder);
  CommandLine line("tales", "");
  add_tales(line);
  arguments.insert(arguments.end(), {"--out", folder.string()});
  line.parse(arguments);
  return folder;
}

TEST(TalesCommand, ShardsHoldTheStoriesAndTheirProbability) {
  std::filesystem::path folder =
      write_tales("rowan_tales", {"--stories", "30", "--validation-stories", "7", "--seed", "3"});
  std::vector<std::filesystem::path> files = expand_glob((folder / "validation*.bin").string());
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
  auto validation = [](const std::filesystem::path& folder) {
    return read_file(expand_glob((folder / "validation*.bin").string())[0]);
  };
  EXPECT_EQ(validation(write_tales("rowan_tales_a", {"--stories", "3", "--validation-stories", "5"})),
            validation(write_tales("rowan_tales_b", {"--stories", "4", "--validation-stories", "5"})));
}

}  // namespace
}  // namespace rowan

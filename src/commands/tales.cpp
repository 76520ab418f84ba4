#include "corpus/tales.h"

#include <fmt/core.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/console.h"
#include "base/error.h"
#include "base/file_kind.h"
#include "base/files.h"
#include "base/folder_lock.h"
#include "base/json.h"
#include "commands/commands.h"
#include "data/shard_format.h"
#include "data/shard_writer.h"
#include "tokenizer/tokenizer.h"

namespace rowan {
namespace {

struct TalesOptions {
  std::string out;
  uint64_t stories = 6000, validation_stories = 320, seed = 1;
};

// The number of the first validation story. It is far above the numbers of training stories, so the validation stories
// do not depend on the amount of training data.
constexpr uint64_t first_validation_story = uint64_t{1} << 40;

// Writes one shard of byte tokens with an end token before each story. Returns the shard's entry for entropy.json.
Json write_shard(const std::filesystem::path& folder, const FolderLock& lock, const std::string& name,
                 const Tales& tales, uint64_t seed, uint64_t first, uint64_t count) {
  std::unique_ptr<Tokenizer> tokenizer = make_tokenizer("bytes");
  const ShardLabel label{tokenizer->vocab_size(), tokenizer->end_id(), shard::EndPlace::before, tokenizer->hash()};
  ShardWriter writer(folder, name, label, INT32_MAX);
  double nats = 0;
  for (uint64_t i = 0; i < count; ++i) {
    std::string story = tales.story(seed, first + i);
    nats += tales.surprise(story);
    std::vector<int32_t> ids = {tokenizer->end_id()};
    tokenizer->encode(story, ids);
    writer.append(ids, true);
  }
  lock.check();
  writer.finish();
  double per_token = nats / static_cast<double>(writer.tokens());
  tell("{}: {} stories, {} tokens, {:.4f} nats per token\n", (folder / name).string(), count, writer.tokens(),
       per_token);
  return {{"stories", count}, {"tokens", writer.tokens()}, {"nats_per_token", per_token}};
}

void run_tales(const TalesOptions& options) {
  std::filesystem::path out = options.out;
  check_folder(out, FolderKind::tales);
  const std::string magic(reinterpret_cast<const char*>(&shard::magic_u16), sizeof shard::magic_u16);
  for (const char* name : {"train.bin", "validation.bin"}) {
    check_replaced(out / name, magic, "a token shard");
    if (std::filesystem::exists(out / name) && !std::filesystem::exists(out / "entropy.json"))
      fail(
          "{}: found a shard without the entropy.json of rowan tales beside it, expected no file; choose another "
          "folder",
          (out / name).string());
  }
  make_directories(out);
  const FolderLock lock(out, "writes tales there", [](const std::string& text) { tell("rowan: {}\n", text); });
  Tales tales;
  Tales::Expectation expectation = tales.expectation();
  Json shards;
  shards["train.bin"] = write_shard(out, lock, "train.bin", tales, options.seed, 0, options.stories);
  shards["validation.bin"] =
      write_shard(out, lock, "validation.bin", tales, options.seed, first_validation_story, options.validation_stories);
  Json json = {{"entropy", expectation.nats_per_token()},
               {"nats_per_story", expectation.nats},
               {"bytes_per_story", expectation.bytes},
               {"seed", options.seed},
               {"shards", shards}};
  write_file_atomically(out / "entropy.json", json.dump(2) + "\n");
  tell("exact entropy of the source: {:.4f} nats per token ({:.1f} nats in {:.1f} bytes a story)\n",
       expectation.nats_per_token(), expectation.nats, expectation.bytes);
}

}  // namespace

void add_tales(CommandLine& command) {
  auto options = std::make_shared<TalesOptions>();
  command.add("--out", options->out, "folder for train.bin, validation.bin and entropy.json").required();
  command.add("--stories", options->stories, "stories to train on")
      .show_default()
      .range(uint64_t{1}, uint64_t{1} << 30);
  command.add("--validation-stories", options->validation_stories, "stories to validate on")
      .show_default()
      .range(uint64_t{1}, uint64_t{1} << 30);
  command.add("--seed", options->seed, "seed of the stories").show_default();
  command.set_action([options] { run_tales(*options); });
}

}  // namespace rowan

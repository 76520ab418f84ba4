// Tests `rowan eval`: the order of its checks, the entropy floor, and what it says about unknown tokens.
#include "commands/commands.h"
#include "small_run.h"
#include "unit/commands/run_command.h"
#include "unit/data/token_files.h"

namespace rowan {
namespace {

class EvalCommand : public WithFolder {
 protected:
  void SetUp() override {
    WithFolder::SetUp();
    write_small_run(run(), small_llama());
  }
  std::filesystem::path run() const { return folder_ / "run"; }

  void change_config(const std::string& path, const Json& value) {
    Json config = Json::parse(read_file(run() / "config.json"));
    apply_edit(config, {path, value, "test"});
    write_file_atomically(run() / "config.json", config.dump());
  }
  // Returns stdout and stderr of the command, followed by its error if there is one.
  std::string eval(const std::string& options) {
    const Told told = run_command(add_eval, run().string() + " --device cpu " + options);
    return told.out + told.err + told.error;
  }
};

#define EXPECT_EVAL(options, text)                                        \
  do {                                                                    \
    const std::string told = eval(options);                               \
    EXPECT_NE(told.find(text), std::string::npos) << "it told: " << told; \
  } while (false)

TEST_F(EvalCommand, ATaskIsReadBeforeTheWeights) {
  change_config("model.hidden_size", 32);  // the weights of the checkpoint do not fit
  const std::string items = write("h.jsonl", R"({"ctx": "A man", "endings": ["a", "bc", "d", "e"], "label": 2})");
  EXPECT_EVAL("--task hellaswag " + items, "weights of another model");
  EXPECT_EVAL("--task hellaswag " + (folder_ / "none.jsonl").string(), "none.jsonl: ");
}

TEST_F(EvalCommand, ATaskHasItsOwnData) {
  const std::string task = "--task hellaswag none.jsonl ", data = (run() / "validation.bin").string();
  EXPECT_EVAL(task + "--tokens 5", "--tokens: found it with --task, expected the validation data or a task, not both");
  EXPECT_EVAL(task + "--tokens 5 --data " + data, "--data: found it with --task");
}

// A model for rows as long as those of the run would not fit.
TEST_F(EvalCommand, RowsOfATaskAreAsShortAsItsItems) {
  change_config("batch.sequence_length", int64_t{1} << 30);
  const Json item = {{"ctx", std::string(13, 'a')}, {"endings", {"a", "bc", "d", "e"}}, {"label", 2}};
  EXPECT_EVAL("--task hellaswag " + write("h.jsonl", item.dump()), "(1 items");
}

// A model for this many rows would not fit.
TEST_F(EvalCommand, AMicroBatchHasNoMoreRowsThanThereAre) {
  EXPECT_EVAL("--micro-batch 2000000000", "targets      100");
  const Json item = {{"ctx", "A man"}, {"endings", {"a", "bc", "d", "e"}}, {"label", 2}};
  EXPECT_EVAL("--micro-batch 2000000000 --task hellaswag " + write("h.jsonl", item.dump()), "(1 items");
}

TEST_F(EvalCommand, TheEntropyIsShownWhereItIsAFloor) {
  auto entropy = [&](const std::string& json) { write("run/entropy.json", json); };
  entropy(R"({"entropy": 1, "shards": {"validation.bin": {"nats_per_token": 1.5}}})");
  EXPECT_EVAL("", "entropy      1.500000 nats per token");
  EXPECT_EQ(eval("--tokens 32").find("entropy"), std::string::npos) << "only a part was read";
  entropy(R"({"entropy": 1, "shards": {"validation.bin": {"nats": 1.5}}})");
  EXPECT_EVAL("", "rowan: no entropy floor: " + (run() / "entropy.json").string());
  EXPECT_EVAL("", "targets      100");
}

// The shard counts 0, 1, 2, ..., 100. Of its 100 targets, the end token is 1, the pieces are 2 and 3.
TEST_F(EvalCommand, UnknownTokensAreCounted) {
  write("tokenizer.json", R"({"added_tokens": [{"id": 1, "content": "</s>", "special": true}],
    "model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["</s>", 0], ["ab", -2], ["c", -1]]}})");
  change_config("tokenizer", "huggingface:" + (folder_ / "tokenizer.json").string());
  EXPECT_EVAL("", "(3 bytes of text; 97 targets are unknown tokens, which count as none)");
  change_config("tokenizer", "bytes");
  EXPECT_EVAL("", "(100 bytes of text)");
}

}  // namespace
}  // namespace rowan

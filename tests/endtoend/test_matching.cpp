// Tests that `rowan train`, `eval` and `generate` refuse shards, a tokenizer or weights that do not match the others.
// Also tests shards that are given twice.
#include <cmath>

#include "base/json.h"
#include "command.h"
#include "run/export.h"
#include "small_run.h"
#include "tokenizer/tokenizer.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

class Matching : public CommandTest {
 protected:
  void SetUp() override {
    CommandTest::SetUp();
    std::string text;
    for (int i = 0; i < 300; ++i) text += "line " + std::to_string(i) + "\n";
    write_file_atomically(dir_ / "text.txt", text);
    // The same ids under another name count as another tokenizer.
    for (const auto& [name, content] : tokenizer_files(*make_tokenizer("bytes"), 32))
      write_file_atomically(dir_ / name, content);
    for (const char* folder : {"ours", "theirs"}) {
      const std::string spec =
          folder == std::string("ours") ? "bytes" : "huggingface:" + (dir_ / "tokenizer.json").string();
      const Outcome made = rowan("tokenize --tokenizer " + spec + " --out " + at(folder) + " " + at("text.txt"));
      ASSERT_EQ(made.code, 0) << made.err;
    }
    config_ = {{"model", small_llama()},
               {"tokenizer", "bytes"},
               {"data", {{"train", at("ours/train-*.bin")}, {"validation", at("ours/validation-*.bin")}}},
               {"batch", {{"sequences", 2}, {"sequence_length", 16}}},
               {"optimizer", {{"name", "muon"}, {"lr", 0.01}}},
               {"device", "cpu"},
               {"threads", 1},
               {"run", {{"dir", at("run")}, {"steps", 2}}}};
    write_file_atomically(dir_ / "config.json", config_.dump(2));
  }
  std::string at(const std::string& name) const { return (dir_ / name).string(); }
  std::string train(const std::string& more = "") const { return "train " + at("config.json") + more; }

  Json config_;
};

TEST_F(Matching, ValidationShardsOfAnotherTokenizer) {
  expect_mistake(train(" --set data.validation=" + at("theirs/validation-*.bin")),
                 "data.validation: " + at("theirs/validation-00000.bin") + ": found another tokenizer than that of");
  expect_mistake(train(" --set data.train=" + at("theirs/train-*.bin")), "another tokenizer than that of bytes");
  // Without a tokenizer in the config, the shards must still match each other.
  config_.erase("tokenizer");
  write_file_atomically(dir_ / "config.json", config_.dump(2));
  expect_mistake(train(" --set data.validation=" + at("theirs/validation-*.bin")), "data.validation: ");
}

// The model may have more ids than the tokenizer, but no token may be such an id.
TEST_F(Matching, ShardsWithoutATokenizerHaveIdsOfTheConfigs) {
  const std::string padded = train(" --set model.vocab_size=300 --set run.dir=" + at("padded"));
  write_small_shard(dir_ / "plain.bin", 301);
  std::string bytes = read_file(dir_ / "plain.bin");
  const std::string id = "\x1d\x01";  // 285
  write_file_atomically(dir_ / "above.bin", bytes.replace(1024 + 2 * 7, 2, id));
  for (const char* split : {"train", "validation"})
    expect_mistake(padded + " --set data." + split + "=" + at("above.bin"),
                   at("above.bin") + ": token 7: found id 285, expected less than 257, the number of ids of bytes");
  const Outcome fits = rowan(padded + " --set data.train=" + at("plain.bin"));
  EXPECT_EQ(fits.code, 0) << fits.err;
}

// Else documents would be told apart by one id in some shards and by another in others.
TEST_F(Matching, AnEndIdThatContradictsTheShards) {
  expect_mistake(train(" --set data.end_id=5"),
                 "found end id 256, but 5 is given (data.end_id, --end-id or a tokenizer)");
  EXPECT_EQ(rowan(train(" --set data.end_id=256")).code, 0);
}

TEST_F(Matching, WhatIsReadOfAFinishedRun) {
  const Outcome trained = rowan(train());
  ASSERT_EQ(trained.code, 0) << trained.err;
  EXPECT_EQ(trained.err.find("warning"), std::string::npos) << trained.err;
  const Outcome eval = rowan("eval " + at("run") + " --device cpu");
  ASSERT_EQ(eval.code, 0) << eval.err;
  // A token is a byte, so bits per byte are the loss in bits.
  const double loss = std::stod(eval.out.substr(eval.out.find("loss ") + 5));
  const double bits = std::stod(eval.out.substr(eval.out.find("bits/byte ") + 10));
  EXPECT_NEAR(bits, loss / std::log(2.0), 1e-5);
  EXPECT_NE(read_file(dir_ / "run/metrics.jsonl").find("\"val_bits_per_byte\":"), std::string::npos);
  expect_mistake("eval " + at("run") + " --device cpu --data " + at("theirs/validation-*.bin"),
                 "theirs/validation-00000.bin: found another tokenizer than that of " + at("run"));
  const std::string other = "huggingface:" + at("tokenizer.json");
  expect_mistake(train(" --set run.dir=" + at("second") + " --set init=" + at("run") + " --set tokenizer=" + other +
                       " --set data.train=" + at("theirs/train-*.bin") +
                       " --set data.validation=" + at("theirs/validation-*.bin")),
                 "the shards of data.train: found another tokenizer than that of init: ");
  // Changes the tokenizer in the config of the finished run.
  Json config = Json::parse(read_file(dir_ / "run/config.json"));
  config["tokenizer"] = other;
  write_file_atomically(dir_ / "run/config.json", config.dump(2));
  expect_mistake("generate " + at("run") + " --device cpu", "another tokenizer than that of the run");
}

// The shards name no tokenizer, so the run's tokenizer is that of its config.
TEST_F(Matching, ARunOnPlainShardsRemembersTheTokenizerOfItsConfig) {
  write_small_shard(dir_ / "plain.bin", 301);
  const std::string plain = " --set data.train=" + at("plain.bin") + " --set data.validation=" + at("plain.bin"),
                    other = " --set tokenizer=huggingface:" + at("tokenizer.json");
  const Outcome trained = rowan(train(plain));
  ASSERT_EQ(trained.code, 0) << trained.err;
  const std::string eval = "eval " + at("run") + " --device cpu --data " + at("theirs/validation-*.bin"),
                    refusal = "theirs/validation-00000.bin: found another tokenizer than that of " + at("run");
  expect_mistake(eval, refusal);
  const std::string second = " --set run.dir=" + at("second") + " --set init=" + at("run") + other;
  expect_mistake(train(second + " --set data.train=" + at("theirs/train-*.bin") +
                       " --set data.validation=" + at("theirs/validation-*.bin")),
                 "the shards of data.train: found another tokenizer than that of init: ");
  expect_mistake(train(second + plain),
                 "tokenizer: huggingface:" + at("tokenizer.json") + ": found another tokenizer than that of init: ");
  const Outcome ours = rowan("eval " + at("run") + " --device cpu --data " + at("ours/validation-*.bin"));
  EXPECT_EQ(ours.code, 0) << ours.err;
}

// A tokenizer's file that changes during a run would change what its bits per byte mean.
TEST_F(Matching, ARunOnPlainShardsContinuesUnderItsTokenizer) {
  write_small_shard(dir_ / "plain.bin", 301);
  const std::string run = train(" --set data.train=" + at("plain.bin") + " --set data.validation=" + at("plain.bin") +
                                " --set tokenizer=huggingface:" + at("tokenizer.json"));
  ASSERT_EQ(rowan(run).code, 0);
  write_file_atomically(dir_ / "tokenizer.json", read_file(dir_ / "tokenizer.json") + "\n");
  expect_mistake(run + " --set run.steps=4 --resume", ": found another tokenizer than that of " + at("run"));
}

// The config of the run is checked also if the checkpoints lie elsewhere.
TEST_F(Matching, WeightsOfAnotherModelInALinkedFolder) {
  ASSERT_EQ(rowan(train()).code, 0);
  fs::rename(dir_ / "run/checkpoints", dir_ / "disk");
  fs::create_directory_symlink(dir_ / "disk", dir_ / "run/checkpoints");
  const std::string other = " --set model.rope_theta=500 --set run.dir=" + at("second") + " --set init=";
  for (const char* init : {"run", "run@best", "run/checkpoints/step_00000002", "run/checkpoints/step_00000002/"})
    expect_mistake(train(other + at(init)), at("run/config.json") + ": rope_theta: found 10000, expected 500");
}

TEST_F(Matching, AnExportRemembersTheTokenizerOfItsData) {
  ASSERT_EQ(rowan(train()).code, 0);
  ASSERT_EQ(rowan("export " + at("run") + " " + at("exported")).code, 0);
  const std::string second = " --set run.dir=" + at("second") + " --set init=";
  const std::string theirs = " --set tokenizer=huggingface:" + at("tokenizer.json") +
                             " --set data.train=" + at("theirs/train-*.bin") +
                             " --set data.validation=" + at("theirs/validation-*.bin");
  for (const std::string& init : {at("exported"), at("exported/model.safetensors")})
    expect_mistake(
        train(second + init + theirs),
        "the shards of data.train: found another tokenizer than that of init: " + at("exported/model.safetensors"));
  const Outcome same = rowan(train(second + at("exported")));
  EXPECT_EQ(same.code, 0) << same.err;
}

TEST_F(Matching, CopiesOfShardsAreNamed) {
  fs::create_directories(at("copies"));
  for (const char* copy : {"a.bin", "b.bin"}) fs::copy_file(at("ours/train-00000.bin"), dir_ / "copies" / copy);
  fs::copy_file(at("ours/validation-00000.bin"), at("copies/c.bin"));
  const Outcome trained = rowan(train(" --set 'data.train=" + at("copies/*.bin") + "'"));
  EXPECT_EQ(trained.code, 0) << trained.err;
  for (const std::string& line :
       {at("copies/b.bin") + " in data.train has the same tokens as " + at("copies/a.bin") + " in data.train",
        at("ours/validation-00000.bin") + " in data.validation has the same tokens as " + at("copies/c.bin") +
            " in data.train"})
    EXPECT_NE(trained.err.find("warning: " + line + "\n"), std::string::npos) << line << "\n" << trained.err;
}

TEST_F(Matching, SharedShardsAreNamedAndTrainedOn) {
  const Outcome both = rowan(train(" --set data.train=" + at("ours/*.bin")));
  EXPECT_EQ(both.code, 0) << both.err;
  EXPECT_NE(both.err.find("warning: " + at("ours/validation-00000.bin") + " is in data.train and in data.validation"),
            std::string::npos)
      << both.err;
  expect_mistake(train(" --set 'data.train=[\"" + at("ours/train-*.bin") + "\", \"" + at("ours/train-00000.bin") +
                       "\"]' --set run.dir=" + at("twice")),
                 "train-00000.bin: given twice");
}

}  // namespace
}  // namespace rowan

#include "base/safetensors.h"
#include "commands/commands.h"
#include "evaluate/hellaswag.h"
#include "shared_files.h"
#include "unit/commands/run_command.h"
#include "unit/data/token_files.h"

namespace rowan {
namespace {

class Inspect : public WithFolder {
 protected:
  // Returns the output of the command, followed by "rowan: " and its error if there is one.
  std::string inspect(const std::string& arguments) {
    const Told told = run_command(add_inspect, arguments);
    return told.out + (told.error.empty() ? "" : "rowan: " + told.error);
  }
};

#define EXPECT_TELLS(arguments, text)                                     \
  do {                                                                    \
    const std::string told = inspect(arguments);                          \
    EXPECT_NE(told.find(text), std::string::npos) << "it told: " << told; \
  } while (false)

TEST_F(Inspect, TellsTokenShardsApart) {
  const Tokens tokens = {72, 105, 256, 33};
  const std::string shard = write("a.bin", llmc(tokens));
  EXPECT_TELLS(shard, "token shard, llmc, 2 bytes a token\n");
  EXPECT_TELLS(shard, "4 (4), 1032 bytes");
  EXPECT_TELLS(shard, "33 to 256");
  EXPECT_TELLS(shard + " --tokenizer bytes", "Hi!");
  EXPECT_TELLS(shard + " --end-id 105", "1 found by the end id 105");
  EXPECT_TELLS(write("b.bin", llmc(tokens, 4)), "llmc, 4 bytes a token");
  EXPECT_TELLS(write("n.bin", bare(tokens, 2)), "--width");
  EXPECT_TELLS(write("n.bin", bare(tokens, 2)) + " --width 2", "token shard, nanogpt, 2 bytes a token");
  write("m.idx", megatron_index({1, 3}, 2));
  const std::string megatron = write("m.bin", bare(tokens, 2));
  EXPECT_TELLS(megatron, "token shard, megatron");
  EXPECT_TELLS((folder_ / "m.idx").string(), "2 in m.idx");
  std::string ends;
  for (uint64_t end : {3, 4}) append(ends, end);
  const std::string index = write("d.ds.index", ends);
  EXPECT_TELLS(write("d.ds", bare(tokens, 2)), "token shard, datatrove");
  EXPECT_TELLS(index, "2 in d.ds.index");
}

TEST_F(Inspect, SaysWhatIsWrong) {
  std::string bytes = llmc({1, 2, 9});
  poke(bytes, 4 * shard::word_mark, shard::rowan_mark);
  poke(bytes, 4 * shard::word_vocab, 9);
  poke(bytes, 4 * shard::word_checksum, uint64_t{5});
  const std::string path = write("a.bin", bytes);
  EXPECT_TELLS(path, "written by rowan tokenize");
  EXPECT_TELLS(path, "WRONG        token 2: found id 9, expected less than 9");
  EXPECT_TELLS(path, "expected 0000000000000005 from the header");
  EXPECT_TELLS(path, "found 2 problems");
  write("a.bin.documents", rowan_index({2, 1}, 3));
  EXPECT_TELLS(path, "document 1: found start 1");
  EXPECT_TELLS(write("b.bin", llmc({1, 2, 3}).substr(0, 1028)), "rowan: ");
  EXPECT_TELLS(write("c.bin", llmc({300})) + " --tokenizer bytes",
               "found id 300, expected less than 257, the vocabulary of bytes");
  EXPECT_TELLS(write("e.bin", llmc({})), "no tokens");
  EXPECT_TELLS((folder_ / "none").string(), "no such file");
  EXPECT_TELLS(write("x.dat", "\1no format at all"), "byte 0: magic");
  const std::filesystem::path inside = folder_ / "inside";
  std::filesystem::create_directories(inside);
  EXPECT_TELLS(inside.string(), "found a folder, expected a checkpoint");
  write("inside/notes.md", "some text");
  EXPECT_TELLS(inside.string(), "folder with 1 text file; rowan tokenize");
  write("inside/a.bin", llmc({1, 2, 3}));
  write("inside/b.bin", llmc({1, 2, 3}).substr(0, 1028));
  EXPECT_TELLS(inside.string(), "folder with 2 token shards");
  EXPECT_TELLS(inside.string(), "shard        a.bin: 3 tokens");
  EXPECT_TELLS(inside.string(), "WRONG        ");
  EXPECT_TELLS(path + " --step best", "--step best: found no run, expected the folder of a run");
}

TEST_F(Inspect, TellsTheRestApart) {
  SafeTensorsWriter writer(folder_ / "w.safetensors", {{"a", "F32", {2, 3}}});
  const std::vector<float> values(6);
  writer.write("a", values.data());
  writer.commit();
  EXPECT_TELLS((folder_ / "w.safetensors").string(), "a F32[2, 3]");
  const std::string item = R"({"ctx": "A man", "endings": ["a", "bc", "d", "e"], "label": 2})"
                           "\n";
  EXPECT_TELLS(write("h.jsonl", item), "1, the longest of 8 bytes");
  EXPECT_TELLS(write("h.jsonl", item), "A man");
  EXPECT_TELLS(write("h.jsonl", item + "{}"), "h.jsonl:2: found no HellaSwag record");
  EXPECT_TELLS(write("t.jsonl", "{\"text\": \"a\\nb\", \"url\": 1}\n"), "a\\nb");
  EXPECT_TELLS(write("t.gz", "\x1f\x8b..."), "gzip");
  EXPECT_TELLS(write("t.parquet", "PAR1..."), "parquet");
  EXPECT_TELLS(write("t.py", "print(1)\n"), "text; rowan tokenize reads it");
  EXPECT_TELLS(write("t.json", "{\"paper\": {}, \"targets\": []}"), "published results; rowan compare --targets");
  EXPECT_TELLS(write("c.json", "{\"a\": 1}"), "JSON with 1 entries");
  EXPECT_TELLS(write("c.json", R"({"model": "m.json", "optimizer": {}})"), "config of a run; rowan train");
  EXPECT_TELLS(write("c.json", R"({"base": "c.json", "axes": {}})"), "sweep; rowan sweep reads it");
  EXPECT_TELLS(write("sweep.json", R"({"axes": ["lr"], "runs": []})"), "rowan compare reads its folder");
  EXPECT_TELLS(write("bench.json", R"({"bench": "step", "runs": []})"), "measurements of rowan bench");
  EXPECT_TELLS(write("c.json", R"({"model_type": "llama"})"), "model; the config of a run names it");
  EXPECT_TELLS(write("c.json", "{\"a\": }"), "c.json:1:7: not valid JSON");
}

// The tables of a sweep and the notes of a run have names of text files.
TEST_F(Inspect, SweepsAndRunsAreNoFoldersOfText) {
  for (const char* name : {"sweep/diverged", "run"}) std::filesystem::create_directories(folder_ / name);
  for (const char* file : {"sweep/table.md", "sweep/table.json", "sweep/sweep.json", "run/starts.jsonl", "run/log.txt"})
    write(file, "{}");
  EXPECT_TELLS((folder_ / "sweep").string(), "kind         sweep; rowan compare and rowan report read it\n");
  EXPECT_TELLS((folder_ / "run").string(), "kind         run\n");
}

// The usual layout of a model on the Hugging Face Hub.
TEST_F(Inspect, AModelMayHaveTheFilesOfItsTokenizer) {
  std::filesystem::create_directories(folder_ / "model");
  SafeTensorsWriter writer(folder_ / "model/model.safetensors", {{"a", "F32", {2, 3}}});
  const std::vector<float> values(6);
  writer.write("a", values.data());
  writer.commit();
  for (const char* file : {"config.json", "tokenizer.json", "vocab.json"}) write(std::string("model/") + file, "{}");
  write("model/merges.txt", "#version: 0.2\n");
  EXPECT_TELLS((folder_ / "model").string(), "kind         model in Hugging Face's layout\n");
}

TEST_F(Inspect, RealFiles) {
  ROWAN_SHARED_OR_SKIP(corpora, "corpora");
  const std::string tokenizer = (corpora / "tokenizers/gpt2/gpt2.tiktoken").string();
  EXPECT_TELLS(tokenizer, "50257 ids, end id 50256");
  EXPECT_TELLS((corpora / "tokenizers/gpt2").string(), "50257 ids, end id 50256");
  EXPECT_TELLS((corpora / "shards/tiny_shakespeare_val.bin").string() + " --tokenizer gpt2:" + tokenizer,
               "First Citizen:\\nBefore we proceed");
}

}  // namespace
}  // namespace rowan

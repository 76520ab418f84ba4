// Tests which shards may be read together.
#include <filesystem>

#include "data/batch_source.h"
#include "unit/data/token_files.h"

namespace rowan {
namespace {

class Corpora : public WithFolder {
 protected:
  // A shard as `rowan tokenize` writes it.
  std::string ours(const std::string& name, uint64_t tokenizer, int32_t end_id = 9) {
    std::string bytes = llmc(counting(40));
    poke(bytes, 4 * shard::word_mark, shard::rowan_mark);
    poke(bytes, 4 * shard::word_vocab, 50);
    poke(bytes, 4 * shard::word_end_id, end_id);
    poke(bytes, 4 * shard::word_end_place, 1);
    poke(bytes, 4 * shard::word_tokenizer_hash, tokenizer);
    return write(name, bytes);
  }
  std::string theirs(const std::string& name) { return write(name, llmc(counting(40))); }

  BatchSource open(const std::vector<std::vector<std::string>>& corpora, int32_t end_id = 9) {
    DataConfig config;
    for (const auto& files : corpora) config.train.push_back({files, 1});
    config.shards.end_id = end_id;
    return BatchSource(config, 8, 1, 50);
  }
};

// llm.c's shards do not name their tokenizer, which may be the same.
TEST_F(Corpora, AnUnknownTokenizerFitsToAny) {
  const std::string a = theirs("a.bin"), b = ours("b.bin", 7), c = ours("c.bin", 7), other = ours("other.bin", 8);
  EXPECT_EQ(open({{a}}).tokenizer_hash(), 0u);
  EXPECT_EQ(open({{a, b}}).tokenizer_hash(), 7u);
  EXPECT_EQ(open({{b, a, c}}).tokenizer_hash(), 7u);
  EXPECT_EQ(open({{a}, {b}, {c}}).tokenizer_hash(), 7u);
  EXPECT_EQ(open({{a, b}}).corpora()[0].tokenizer_shard().path(), b);
  EXPECT_ERROR(open({{b, other}}), "other.bin: found another tokenizer than in " + b);
  EXPECT_ERROR(open({{a, b, other}}), "other.bin: found another tokenizer than in " + b);
  EXPECT_ERROR(open({{b, a, other}}), "other.bin: found another tokenizer than in " + b);
  EXPECT_ERROR(open({{a}, {a, b}, {other}}),
               "other.bin: found another tokenizer than in " + b + ", another corpus of the mixture");
}

TEST_F(Corpora, EndIdsAreTheSame) {
  const std::string a = theirs("a.bin"), b = ours("b.bin", 7);
  EXPECT_ERROR(open({{b, a}}, -1),
               "a.bin: found end id -1, expected 9 as in " + b + "; data.end_id gives it for shards that do not");
  EXPECT_ERROR(open({{b, a}}, 10), "b.bin: byte 20: found end id 9, but 10 is given (data.end_id, --end-id or");
  EXPECT_ERROR(open({{b, ours("c.bin", 7, 3)}}, -1), "c.bin: found end id 3, expected 9 as in " + b);
}

// Checkpoints record the names of shards as JSON, which is UTF-8.
TEST_F(Corpora, ANameThatIsNotUtf8IsRefused) {
  theirs("val-1.bin");
  theirs("val-\xff.bin");
  EXPECT_ERROR(open({{(folder_ / "val*.bin").string()}}),
               "val-\xff.bin: found the name of a file that is not valid UTF-8, which a checkpoint cannot record");
  std::filesystem::remove(folder_ / "val-\xff.bin");
  theirs("val-\xc3\xa9.bin");
  EXPECT_EQ(open({{(folder_ / "val*.bin").string()}}).corpora()[0].shards().size(), 2u);
}

}  // namespace
}  // namespace rowan

#include <algorithm>

#include "base/files.h"
#include "data/shard.h"
#include "shared_files.h"
#include "unit/data/token_files.h"

namespace rowan {
namespace {

using Shards = WithFolder;

Tokens read_all(const Shard& shard) {
  Tokens tokens(static_cast<size_t>(shard.tokens()));
  shard.copy_tokens(0, shard.tokens(), tokens.data());
  return tokens;
}

std::vector<int64_t> starts_of(const DocumentIndex& index) {
  std::vector<int64_t> starts;
  for (int64_t i = 0; i < index.size(); ++i) starts.push_back(index.start(i));
  return starts;
}

std::vector<int64_t> list(std::initializer_list<int64_t> values) { return values; }

TEST_F(Shards, EveryFormatGivesItsTokens) {
  const Tokens small = {5, 65535, 0, 7, 9}, large = {5, 128000, 0, 2147483647};
  struct Case {
    std::string path;
    ShardOptions options;
    Tokens tokens;
    ShardFormat format;
  };
  write("m16.idx", megatron_index({2, 0, 3}, 2));
  write("m32.idx", megatron_index({1, 3}, 4));
  std::string ends;
  for (uint64_t end : {1, 5}) append(ends, end);
  write("d.ds.index", ends);
  ends.clear();
  for (uint64_t end : {1, 4}) append(ends, end);
  write("d32.ds.index", ends);
  const std::vector<Case> cases = {
      {write("a.bin", llmc(small)), {}, small, ShardFormat::llmc},
      {write("b.bin", llmc(large, 4)), {}, large, ShardFormat::llmc},
      {write("c.bin", bare(small, 2)), {ShardFormat::nanogpt, 2, -1}, small, ShardFormat::nanogpt},
      {write("d.bin", bare(large, 4)), {ShardFormat::automatic, 4, -1}, large, ShardFormat::nanogpt},
      {write("d.ds", bare(small, 2)), {}, small, ShardFormat::datatrove},
      {write("d32.ds", bare(large, 4)), {}, large, ShardFormat::datatrove},
      {write("noindex.ds", bare(small, 2)), {ShardFormat::automatic, 2, -1}, small, ShardFormat::datatrove},
      {write("m16.bin", bare(small, 2)), {}, small, ShardFormat::megatron},
      {write("m32.bin", bare(large, 4)), {}, large, ShardFormat::megatron},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.path);
    Shard shard(c.path, c.options);
    EXPECT_EQ(shard.format(), c.format);
    EXPECT_EQ(read_all(shard), c.tokens);
    EXPECT_EQ(shard.token(1), c.tokens[1]);
    EXPECT_ERROR(shard.token(shard.tokens()), c.path);
    EXPECT_ERROR(shard.token(-1), c.path);
  }
  EXPECT_EQ(starts_of(Shard(folder_ / "m16.bin").documents()), list({0, 2, 2}));
  EXPECT_EQ(starts_of(Shard(folder_ / "d.ds").documents()), list({0, 1}));
}

TEST_F(Shards, WhatRowanWroteInTheHeader) {
  std::string bytes = llmc({3, 1, 2});
  poke(bytes, 4 * shard::word_mark, shard::rowan_mark);
  poke(bytes, 4 * shard::word_vocab, 300);
  poke(bytes, 4 * shard::word_end_id, 3);
  poke(bytes, 4 * shard::word_end_place, 1);
  poke(bytes, 4 * shard::word_tokenizer_hash, uint64_t{0x1122334455667788});
  Shard shard(write("a.bin", bytes));
  EXPECT_EQ(shard.vocab_size(), 300);
  EXPECT_EQ(shard.end_id(), 3);
  EXPECT_EQ(shard.end_place(), shard::EndPlace::before);
  EXPECT_EQ(shard.tokenizer_hash(), 0x1122334455667788u);
  poke(bytes, 4 * shard::word_end_id, 300);
  EXPECT_ERROR(Shard(write("a.bin", bytes)), "byte 20: found end id 300, expected less than 300");
  poke(bytes, 4 * shard::word_vocab, 0);
  EXPECT_ERROR(Shard(write("a.bin", bytes)), "byte 16: found a vocabulary of 0");
}

TEST_F(Shards, DamageIsNamed) {
  const std::string good = llmc({1, 2, 3});
  EXPECT_ERROR(Shard(folder_ / "absent.bin"), "absent.bin");
  EXPECT_ERROR(Shard(write("a.bin", "")), "0 bytes");
  EXPECT_ERROR(Shard(write("a.txt", "Once upon a time\n")),
               "a.txt: found text, expected a token shard; to make shards: rowan tokenize");
  EXPECT_ERROR(Shard{folder_}, "found a folder, expected the shards in it: ");
  std::filesystem::create_directories(folder_ / "texts");
  EXPECT_ERROR(Shard{folder_ / "texts"}, "found a folder without token shards; to make shards: rowan tokenize");
  EXPECT_ERROR(Shard(write("a.bin", good.substr(0, 100))), "expected at least the 1024 of an llm.c header");
  EXPECT_ERROR(Shard(write("a.bin", good.substr(0, 1029))),
               "byte 8: found 3 tokens, which make a file of 1030 bytes, but this file has 1029");
  EXPECT_ERROR(Shard(write("a.bin", good + "x")), "but this file has 1031");
  std::string bad = good;
  poke(bad, 0, 20240521);
  EXPECT_ERROR(Shard(write("a.bin", bad)), "byte 0: magic 20240521");
  bad = good;
  poke(bad, 4, 7);
  EXPECT_ERROR(Shard(write("a.bin", bad)), "byte 4: found version 7");
  bad = good;
  poke(bad, 8, -1);
  EXPECT_ERROR(Shard(write("a.bin", bad)), "byte 8: found -1 tokens");
  EXPECT_ERROR(Shard(write("n.bin", "abc"), {ShardFormat::nanogpt, 2, -1}),
               "found 3 bytes, expected a whole number of 2-byte tokens");
  EXPECT_ERROR(Shard(write("n.bin", "abcd"), {ShardFormat::nanogpt, 0, -1}), "data.width");
  EXPECT_ERROR(Shard(write("n.ds", "abcd")), "data.width");
  EXPECT_ERROR(Shard(write("n.bin", good), {ShardFormat::nanogpt, 2, -1}),
               "n.bin: byte 0: found the header of llm.c, expected bare tokens with format nanogpt");
  EXPECT_ERROR(Shard(write("n.ds", llmc({1, 2, 3}, 4)), {ShardFormat::datatrove, 4, -1}), "found the header of llm.c");
  std::string ends;
  append(ends, uint64_t{9});
  write("n.ds.index", ends);
  EXPECT_ERROR(Shard(write("n.ds", "abcd")), "ends at token 9");
}

TEST_F(Shards, DamagedIndexesAreNamed) {
  const std::string path = write("a.bin", llmc({1, 2, 3, 4})), index = "a.bin.documents";
  write(index, rowan_index({0, 3}, 4));
  EXPECT_EQ(starts_of(Shard(path).documents()), list({0, 3}));
  write(index, rowan_index({3, 0}, 4));
  EXPECT_ERROR(starts_of(Shard(path).documents()), "document 1: found start 0");
  write(index, rowan_index({0, 5}, 4));
  EXPECT_ERROR(starts_of(Shard(path).documents()), "document 1: found start 5");
  write(index, rowan_index({0, 3}, 5));
  EXPECT_ERROR(Shard{path}, "byte 16: found 5 tokens");
  write(index, rowan_index({0, 3}, 4) + "12345678");
  EXPECT_ERROR(Shard{path}, "byte 8: found 2 documents, but the file of 48 bytes has room for 3");
  write(index, "ROWN");
  EXPECT_ERROR(Shard{path}, "4 bytes");

  const std::string bin = write("m.bin", bare({1, 2, 3, 4}, 2)), good = megatron_index({1, 3}, 2);
  auto damaged = [&](size_t at, auto value) {
    std::string bytes = good;
    poke(bytes, at, value);
    write("m.idx", bytes);
    return error_of([&] { starts_of(Shard(bin).documents()); });
  };
  EXPECT_NE(damaged(0, 'X').find("byte 0"), std::string::npos);
  EXPECT_NE(damaged(9, uint64_t{2}).find("byte 9: found version 2"), std::string::npos);
  EXPECT_NE(damaged(17, uint8_t{6}).find("byte 17: found element type 6"), std::string::npos);
  EXPECT_NE(damaged(18, UINT64_MAX).find("byte 18"), std::string::npos);
  EXPECT_NE(damaged(26, uint64_t{0}).find("byte 18"), std::string::npos);
  EXPECT_NE(
      damaged(38, int32_t{2}).find("end of the last sequence: found byte 6, expected byte 8, the end of the .bin"),
      std::string::npos);
  EXPECT_NE(damaged(58 + 8, int64_t{77}).find("document 1: found start "), std::string::npos);
  EXPECT_EQ(damaged(0, 'M'), "");
}

// The number of tokens does not tell it, because all full shards of a folder have the same.
TEST_F(Shards, TheIndexOfAnotherShardIsRefused) {
  const Tokens before = {9, 1, 9, 2, 3, 4, 9, 5}, after = {1, 9, 2, 3, 4, 9, 5, 6};
  const auto written = [&](const Tokens& tokens, int32_t place) {
    std::string bytes = llmc(tokens);
    poke(bytes, 4 * shard::word_mark, shard::rowan_mark);
    poke(bytes, 4 * shard::word_vocab, 10);
    poke(bytes, 4 * shard::word_end_id, place ? 9 : -1);
    poke(bytes, 4 * shard::word_end_place, place);
    return write("a.bin", bytes);
  };
  const auto starts = [&](const std::vector<int64_t>& index) {
    write("a.bin.documents", rowan_index(index, 8));
    return starts_of(Shard(folder_ / "a.bin").documents());
  };
  written(before, 1);
  EXPECT_EQ(starts({0, 2, 6}), list({0, 2, 6}));
  EXPECT_ERROR(starts({0, 3, 6}),
               "a.bin.documents: document 1: found start 3, expected the end token 9 at token 3 of ");
  // The last document may go on in the next shard, and the first may have begun in the shard before.
  written(after, 2);
  EXPECT_EQ(starts({0, 2, 6}), list({0, 2, 6}));
  EXPECT_EQ(starts({2, 6}), list({2, 6}));
  EXPECT_ERROR(starts({0, 2, 7}), "document 2: found start 7, expected the end token 9 at token 6 of ");
  written(after, 0);  // no end tokens
  EXPECT_EQ(starts({0, 3}), list({0, 3}));
}

TEST_F(Shards, DocumentsWithoutAnIndexAreFoundByTheEndToken) {
  const int32_t end = 9;
  const ShardOptions options{ShardFormat::automatic, 0, end};
  EXPECT_EQ(starts_of(Shard(write("a.bin", llmc({4, 9, 1, 2, 9, 9, 3})), options).documents()), list({1, 4, 5}));
  const ShardOptions after{ShardFormat::nanogpt, 2, end};
  const std::string path = write("b.bin", bare({4, 9, 1, 2, 9, 9, 3, 9}, 2));
  EXPECT_EQ(starts_of(Shard(path, after).documents()), list({0, 2, 5, 6}));
  EXPECT_EQ(starts_of(Shard(path, after).documents(false)), list({2, 5, 6}));
  EXPECT_ERROR(Shard(folder_ / "a.bin").documents(), "data.end_id");
}

TEST_F(Shards, BeyondFourGigabytes) {
  const int64_t far = (int64_t{5} << 30) / 2;  // a position in 2-byte tokens, at byte 5 GiB
  const std::string path = write("sparse.bin", "");
  std::filesystem::resize_file(path, static_cast<uintmax_t>(2 * far));
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  const std::string tail = bare({11, 12, 13}, 2);
  file.seekp(2 * (far - 3));
  file.write(tail.data(), static_cast<std::streamsize>(tail.size()));
  file.close();
  Shard shard(path, {ShardFormat::nanogpt, 2, -1});
  EXPECT_EQ(shard.tokens(), far);
  Tokens read(5);
  shard.copy_tokens(far - 5, 5, read.data());
  EXPECT_EQ(read, (Tokens{0, 0, 11, 12, 13}));
}

TEST_F(Shards, TinyShakespeare) {
  ROWAN_SHARED_OR_SKIP(path, "corpora/shards/tiny_shakespeare_val.bin");
  Shard shard(path, {ShardFormat::automatic, 0, 50256});
  EXPECT_EQ(shard.tokens(), 32768);
  EXPECT_EQ(shard.width(), 2);
  EXPECT_EQ(shard.token(0), 50256);
  EXPECT_EQ(shard.documents().start(0), 0);
}

}  // namespace
}  // namespace rowan

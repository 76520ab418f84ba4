// The bytes of a token shard, as written by ShardWriter and read by Shard. All integers are little-endian.
//
// A shard has llm.c's format: a header of 256 int32 words, then the tokens.
//   word 0     magic: 20240520 (u16 tokens) or 20240801 (u32 tokens)
//   word 1     version: 1 for u16, 7 for u32
//   word 2     token count N; the file is 1024 + N * width bytes long
// Rowan uses more words. Shards of other programs lack the mark in word 3.
//   word 3     mark 0x4e574f52 ("ROWN"): words 4 to 11 are valid
//   word 4     vocabulary size, including the end token
//   word 5     end id, the token that separates documents; -1: none was written
//   word 6     position of the end token: 0 none, 1 before each document, 2 after each document
//   word 8, 9  64-bit hash of the tokenizer (Tokenizer::hash), low word first
//   word 10,11 Hash64 of the token bytes, low word first
//
// The file NAME.bin.documents beside NAME.bin is the document index:
//   byte 0     "ROWNDOCS"
//   byte 8     u64 number D of documents that start in this shard
//   byte 16    u64 number of tokens in this shard
//   byte 24    u64[D] position of each document's first token, ascending; if word 6 is 1, that token is the end token
// A document ends where the next one starts, which may be in a later shard. So tokens before the first start continue
// the last document of the previous shard.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/enum_names.h"

namespace rowan::shard {

constexpr size_t header_words = 256, header_bytes = 1024;
constexpr int32_t magic_u16 = 20240520, version_u16 = 1;
constexpr int32_t magic_u32 = 20240801, version_u32 = 7;
constexpr int32_t rowan_mark = 0x4e574f52;

enum Word : size_t {
  word_magic,
  word_version,
  word_tokens,
  word_mark,
  word_vocab,
  word_end_id,
  word_end_place,
  word_tokenizer_hash = 8,
  word_checksum = 10,
};

// The position of the end token relative to its document.
enum class EndPlace : int32_t { none, before, after };
constexpr auto names_of(EndPlace) { return enum_names("none", "before", "after"); }

// Vocabularies up to this size use two bytes per token.
constexpr int64_t largest_u16_vocab = 65536;
constexpr size_t token_bytes(int64_t vocab_size) { return vocab_size <= largest_u16_vocab ? 2 : 4; }

inline constexpr char documents_suffix[] = ".documents";
inline constexpr char documents_magic[8] = {'R', 'O', 'W', 'N', 'D', 'O', 'C', 'S'};
constexpr size_t documents_header_bytes = 24;

}  // namespace rowan::shard

// The bytes of a token shard, as `rowan tokenize` writes it and the readers of src/data read it (all little-endian).
//
// A shard is llm.c's file: a header of 256 int32 words, then the tokens.
//   word 0     magic: 20240520 (u16 tokens) or 20240801 (u32 tokens)
//   word 1     version: 1 for u16, 7 for u32
//   word 2     token count N; the file is 1024 + N * width bytes long
// Public readers ignore the other words. Rowan writes there (all zero in a shard of someone else):
//   word 3     mark 0x4e574f52 ("ROWN"): words 4 to 11 are valid
//   word 4     vocabulary size, end token included
//   word 5     end id, the token that separates documents; -1 when none was written
//   word 6     where the end token stands: 0 none, 1 before each document, 2 after each document
//   word 8, 9  64-bit hash of the tokenizer (Tokenizer::hash), low word first
//   word 10,11 Hash64 of the token bytes, low word first
//
// Beside NAME.bin lies NAME.bin.documents, the document index:
//   byte 0     "ROWNDOCS"
//   byte 8     u64 number D of documents that start in this shard
//   byte 16    u64 number of tokens in this shard
//   byte 24    u64[D] position of each document's first token (its end token, where that stands before), ascending
// A document reaches to the next start, be it in this shard or in a later one, so tokens before the first start
// continue the last document of the shard before.
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

// Where the end token stands.
enum class EndPlace : int32_t { none, before, after };
constexpr auto names_of(EndPlace) { return enum_names("none", "before", "after"); }

// Tokens of vocabularies up to this size take two bytes.
constexpr int64_t largest_u16_vocab = 65536;
constexpr size_t token_bytes(int64_t vocab_size) { return vocab_size <= largest_u16_vocab ? 2 : 4; }

inline constexpr char documents_suffix[] = ".documents";
inline constexpr char documents_magic[8] = {'R', 'O', 'W', 'N', 'D', 'O', 'C', 'S'};
constexpr size_t documents_header_bytes = 24;

}  // namespace rowan::shard

// Makes the bytes of token files, and of indexes in Rowan's and in Megatron's format.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "data/shard_format.h"

namespace rowan {

using Tokens = std::vector<int32_t>;

template <typename T>
void append(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <typename T>
void poke(std::string& bytes, size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

inline std::string bare(const Tokens& tokens, int width) {
  std::string bytes;
  for (int32_t id : tokens) width == 2 ? append(bytes, static_cast<uint16_t>(id)) : append(bytes, id);
  return bytes;
}

inline std::string llmc(const Tokens& tokens, int width = 2) {
  std::string bytes(shard::header_bytes, '\0');
  poke(bytes, 0, width == 2 ? shard::magic_u16 : shard::magic_u32);
  poke(bytes, 4, width == 2 ? shard::version_u16 : shard::version_u32);
  poke(bytes, 8, static_cast<int32_t>(tokens.size()));
  return bytes + bare(tokens, width);
}

inline std::string rowan_index(const std::vector<int64_t>& starts, int64_t tokens) {
  std::string bytes(shard::documents_magic, sizeof shard::documents_magic);
  append(bytes, static_cast<uint64_t>(starts.size()));
  append(bytes, tokens);
  for (int64_t start : starts) append(bytes, start);
  return bytes;
}

// A Megatron index with one sequence per document. A token has `width` bytes.
inline std::string megatron_index(const std::vector<int32_t>& lengths, int width) {
  std::string bytes("MMIDIDX\0\0", 9);
  append(bytes, uint64_t{1});
  append(bytes, static_cast<uint8_t>(width == 2 ? 8 : 4));
  append(bytes, static_cast<uint64_t>(lengths.size()));
  append(bytes, static_cast<uint64_t>(lengths.size() + 1));
  for (int32_t length : lengths) append(bytes, length);
  int64_t byte = 0;
  for (int32_t length : lengths) {
    append(bytes, byte);
    byte += int64_t{length} * width;
  }
  for (size_t i = 0; i <= lengths.size(); ++i) append(bytes, static_cast<int64_t>(i));
  return bytes;
}

}  // namespace rowan

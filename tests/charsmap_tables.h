// Makes replacement tables of sentencepiece (tokenizer/charsmap.h) for tests.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rowan {

inline std::string charsmap_table(const std::vector<uint32_t>& units, const std::string& replacement) {
  const auto bytes = static_cast<uint32_t>(units.size() * sizeof units[0]);
  std::string table(reinterpret_cast<const char*>(&bytes), sizeof bytes);
  return table.append(reinterpret_cast<const char*>(units.data()), bytes).append(replacement).append(1, '\0');
}

// A table that maps one key, which is a byte, to its replacement.
inline std::string one_key(unsigned char key, const std::string& replacement) {
  std::vector<uint32_t> units(768);
  units[0] = 1u << 10 | 1u << 9;  // the children of the root are at 256 ^ byte
  const uint32_t node = 256 ^ key, value = 512;
  units[node] = (node ^ value) << 10 | 1u << 8 | key;  // a key ends here, with its value at 512
  units[value] = 0x80000000u;                          // the replacement at byte 0
  return charsmap_table(units, replacement);
}

}  // namespace rowan

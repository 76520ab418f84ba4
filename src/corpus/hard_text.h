// Texts that can be slow to tokenize, for example because they offer no place to split.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace rowan {

struct HardText {
  const char* name;
  std::string text;  // valid UTF-8
};

// Returns texts of about `bytes` bytes each. Calls with the same `bytes` return the same texts.
std::vector<HardText> hard_texts(size_t bytes);

}  // namespace rowan

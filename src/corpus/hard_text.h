// Texts that are slow to tokenize: they offer no place to split, or contain no character of the vocabulary.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace rowan {

struct HardText {
  const char* name;
  std::string text;  // valid UTF-8
};

// Returns texts of about `bytes` bytes each. The result is deterministic.
std::vector<HardText> hard_texts(size_t bytes);

}  // namespace rowan

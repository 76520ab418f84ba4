// Texts that make tokenizers slow: a document with no place to split it, or with nothing that the vocabulary contains.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace rowan {

struct HardText {
  const char* name;
  std::string text;  // valid UTF-8
};

// Returns texts of about `bytes` bytes each, always the same ones.
std::vector<HardText> hard_texts(size_t bytes);

}  // namespace rowan

// Texts that make tokenizers slow: one document without a place to divide it, or with nothing that the vocabulary
// knows.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace rowan {

struct HardText {
  const char* name;
  std::string text;  // valid UTF-8
};

// Each of about `bytes` bytes, always the same.
std::vector<HardText> hard_texts(size_t bytes);

}  // namespace rowan

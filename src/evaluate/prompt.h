// The tokens from which a model continues a text or begins a document.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rowan {

struct DataConfig;
class Tokenizer;

struct Prompt {
  std::vector<int32_t> tokens;  // at least one
  size_t text = 0;              // index of the first token that is text
};

// If a model trained on this data cannot begin a document by itself, returns the reason, otherwise "". With
// data.reading `documents`, the first token of a document is no target. With data.documents.end_targets `ignored`, it
// is a target that does not count.
std::string why_text_is_needed(const DataConfig& data);

// The tokens of `text`. Without any, an end token, after which a model begins a document. `key` is the option or key
// that gave the text. Throws Error naming it if there are no tokens but why_text_is_needed().
Prompt make_prompt(const DataConfig& data, const Tokenizer& tokenizer, const std::string& key, std::string_view text);

}  // namespace rowan

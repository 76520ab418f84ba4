// The added tokens of a Hugging Face tokenizer that are recognized in text.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/pattern.h"

namespace rowan {

// Finds added tokens in text, the longest one at each position.
class AddedInText {
 public:
  void add(const std::string& token, int32_t id) { ids_[token] = id; }
  void finish() {
    std::vector<std::string> tokens;
    for (const auto& [token, id] : ids_) tokens.push_back(token);
    std::sort(tokens.begin(), tokens.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
    std::string any;
    for (const std::string& token : tokens) any += (any.empty() ? "" : "|") + Pattern::quoted(token);
    if (!any.empty()) any_ = Pattern(any);
  }
  // Appends the id of every token found. Calls between(begin, end) for the text before, between and after them.
  template <typename Between>
  void find(std::string_view text, std::vector<int32_t>& ids, Between between) const {
    size_t at = 0;
    if (any_)
      for (const auto& [begin, end] : any_->matches(text)) {
        between(at, begin);
        ids.push_back(ids_.find(std::string(text.substr(begin, end - begin)))->second);
        at = end;
      }
    between(at, text.size());
  }

 private:
  std::map<std::string, int32_t> ids_;
  std::optional<Pattern> any_;
};

}  // namespace rowan

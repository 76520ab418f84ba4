#include "evaluate/prompt.h"

#include "base/error.h"
#include "data/data_config.h"
#include "tokenizer/tokenizer.h"

namespace rowan {

std::string why_text_is_needed(const DataConfig& data) {
  const char* setting = "";
  if (data.reading == Reading::documents)
    setting = "data.reading documents";
  else if (data.documents && data.documents->end_targets == EndTargets::ignored)
    setting = "data.documents.end_targets ignored";
  else
    return "";
  return fmt::format("with {} a model does not learn how a document begins", setting);
}

Prompt make_prompt(const DataConfig& data, const Tokenizer& tokenizer, const std::string& key, std::string_view text) {
  Prompt prompt;
  if (data.reading == Reading::packed) prompt.tokens.push_back(tokenizer.end_id());
  prompt.text = prompt.tokens.size();
  tokenizer.encode(text, prompt.tokens);
  if (const std::string why = why_text_is_needed(data); prompt.tokens.size() == prompt.text && !why.empty())
    fail("{}: found {}, expected text to continue, because {}", key, text.empty() ? "no text" : "text without tokens",
         why);
  return prompt;
}

}  // namespace rowan

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
  try {
    prompt.tokens = tokenizer.encode(text);
  } catch (const Error& error) {  // the text is not UTF-8
    fail("{}: {}", key, error.what());
  }
  if (!prompt.tokens.empty()) return prompt;
  if (const std::string why = why_text_is_needed(data); !why.empty())
    fail("{}: found {}, expected text to continue, because {}", key, text.empty() ? "no text" : "text without tokens",
         why);
  return {{tokenizer.end_id()}, 1};
}

}  // namespace rowan

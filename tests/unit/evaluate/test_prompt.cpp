// Tests the tokens from which a model continues a text or begins a document.
#include "data/data_config.h"
#include "evaluate/prompt.h"
#include "tokenizer/tokenizer.h"
#include "unit/data/token_files.h"

namespace rowan {
namespace {

TEST(PromptTokens, AreThoseOfTheText) {
  const auto bytes = make_tokenizer("bytes");
  const Prompt prompt = make_prompt({}, *bytes, "--prompt", "ab");
  EXPECT_EQ(prompt.tokens, (Tokens{'a', 'b'}));
  EXPECT_EQ(prompt.text, 0u);
}

TEST(PromptTokens, AreNeededIfNoEndTokenHasATarget) {
  const auto bytes = make_tokenizer("bytes");
  DataConfig data;
  auto prompt = [&](const char* text) { return make_prompt(data, *bytes, "--prompt", text).tokens; };
  EXPECT_EQ(prompt(""), Tokens{256});
  data.documents.emplace();
  EXPECT_EQ(prompt(""), Tokens{256});
  data.documents->end_targets = EndTargets::ignored;
  EXPECT_EQ(prompt("a"), Tokens{'a'});
  EXPECT_EQ(
      error_of([&] { prompt(""); }),
      "--prompt: found no text, expected text to continue, because with data.documents.end_targets ignored a model "
      "does not learn how a document begins");
  data.documents.reset();
  data.reading = Reading::documents;
  EXPECT_EQ(prompt("a"), Tokens{'a'});
  EXPECT_EQ(error_of([&] { prompt(""); }),
            "--prompt: found no text, expected text to continue, because with data.reading documents a model does not "
            "learn how a document begins");
}

}  // namespace
}  // namespace rowan

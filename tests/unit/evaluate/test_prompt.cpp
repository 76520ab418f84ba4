// Tests that a prompt has the tokens with which a document begins in the rows that a model is trained on.
#include "data/dataset.h"
#include "evaluate/prompt.h"
#include "tokenizer/tokenizer.h"
#include "unit/data/token_files.h"

namespace rowan {
namespace {

using PromptTokens = WithFolder;

TEST_F(PromptTokens, AreThoseOfARowThatBeginsADocument) {
  const std::string shard = write("a.bin", llmc({256, 'a', 'b', 'c', 256, 'd', 'e', 256, 'f', 'g'}));
  const auto bytes = make_tokenizer("bytes");
  for (Reading reading : {Reading::packed, Reading::documents}) {
    DataConfig config;
    config.reading = reading;
    config.shards.end_id = 256;
    const Dataset rows({shard}, config.shards, reading, 4, 257);
    Tokens inputs(4), targets(4);
    rows.read(0, inputs.data(), targets.data());
    const Prompt prompt = make_prompt(config, *bytes, "--prompt", "ab");
    inputs.resize(prompt.tokens.size());
    EXPECT_EQ(prompt.tokens, inputs) << name_of(reading);
    EXPECT_EQ(bytes->decode(std::span(prompt.tokens).subspan(prompt.text)), "ab");
  }
}

TEST_F(PromptTokens, AreNeededIfNoEndTokenHasATarget) {
  const auto bytes = make_tokenizer("bytes");
  DataConfig data;
  auto prompt = [&](const char* text) { return make_prompt(data, *bytes, "--prompt", text).tokens; };
  EXPECT_EQ(prompt(""), Tokens{256});
  data.documents.emplace();
  EXPECT_EQ(prompt(""), Tokens{256});
  data.documents->end_targets = EndTargets::ignored;
  EXPECT_EQ(prompt("a"), (Tokens{256, 'a'}));
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

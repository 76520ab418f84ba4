// Compares the hand-written splitter with the published regular expression, which PCRE2 runs.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <fstream>
#include <vector>

#include "tokenizer/gpt2_split.h"
#include "tokenizer/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/files.h"
#include "random_text.h"
#include "shared_files.h"

namespace rowan {
namespace {

class Expression {
 public:
  Expression() {
    const std::string pattern =
        fmt::format("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{{L}}+| ?\\p{{N}}+| ?[^{0}\\p{{L}}\\p{{N}}]+|[{0}]+(?![^{0}])|[{0}]+",
                    white_space);
    int error = 0;
    PCRE2_SIZE where = 0;
    code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF | PCRE2_UCP, &error,
                          &where, nullptr);
    pcre2_jit_compile(code_, PCRE2_JIT_COMPLETE);
    match_ = pcre2_match_data_create_from_pattern(code_, nullptr);
  }
  ~Expression() {
    pcre2_match_data_free(match_);
    pcre2_code_free(code_);
  }
  std::vector<size_t> ends(const std::string& text) const {
    std::vector<size_t> found;
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match_);
    for (size_t at = 0; at < text.size(); at = range[1]) {
      if (pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at, PCRE2_NO_UTF_CHECK, match_,
                      nullptr) < 1)
        break;
      found.push_back(range[1]);
    }
    return found;
  }

 private:
  pcre2_code* code_;
  pcre2_match_data* match_;
};

std::vector<size_t> split_ends(const Gpt2Splitter& splitter, const std::string& text) {
  std::vector<size_t> found;
  for (size_t at = 0; at < text.size(); found.push_back(at)) at = splitter.piece_end(text, at);
  return found;
}

TEST(Gpt2Splitter, AgreesWithTheExpressionOnRandomText) {
  Expression expression;
  Gpt2Splitter splitter;
  Random random(2, 0);
  for (int i = 0; i < 20000; ++i) {
    std::string text = random_text(random, true);
    ASSERT_EQ(split_ends(splitter, text), expression.ends(text)) << "text " << i << ": " << text;
  }
}

TEST(Gpt2Splitter, AgreesWithTheExpressionOnRealText) {
  Expression expression;
  Gpt2Splitter splitter;
  for (const char* name : {"corpora/text/tinyshakespeare.txt", "corpora/text/wikitext2_valid.txt",
                           "corpora/text/tinystories_sample_944k.txt", "corpora/c4/c4_demo_300docs.jsonl"}) {
    ROWAN_SHARED_OR_SKIP(file, name);
    std::string text = read_file(file);
    EXPECT_EQ(split_ends(splitter, text), expression.ends(text)) << name;
  }
}

// U+180E was a space until Unicode 6.3, and is still one for PCRE2. The pieces are from the package tokenizers 0.21.1.
TEST(Gpt2Splitter, SpacesAreThoseOfUnicode) {
  EXPECT_EQ(split_ends(Gpt2Splitter(), "a\u180e b \u180e"), (std::vector<size_t>{1, 4, 6, 10}));
  EXPECT_EQ(split_ends(Gpt2Splitter(), "a\u0085\u00a0b"), (std::vector<size_t>{1, 3, 5, 6}));
}

TEST(Gpt2Splitter, AnyBytesAreCoveredOnce) {
  Gpt2Splitter splitter;
  Random random(3, 0);
  for (int i = 0; i < 5000; ++i) {
    std::string text = random_text(random, false);
    size_t at = 0;
    while (at < text.size()) {
      size_t end = splitter.piece_end(text, at);
      ASSERT_GT(end, at);
      ASSERT_LE(end, text.size());
      at = end;
    }
  }
}

}  // namespace
}  // namespace rowan

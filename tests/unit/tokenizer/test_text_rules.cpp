// The expected pieces and texts are from the package tokenizers 0.21.1.
#include <gtest/gtest.h>

#include "base/json.h"
#include "charsmap_tables.h"
#include "error_of.h"
#include "shared_files.h"
#include "text_files.h"
#include "tokenizer/base64.h"
#include "tokenizer/oniguruma.h"
#include "tokenizer/sentencepiece_model.h"
#include "tokenizer/text_rules.h"

namespace rowan {
namespace {

using Strings = std::vector<std::string>;

TextRules rules(const char* section, const Json& step) {
  const auto source = std::make_shared<const JsonSource>(JsonSource{"tokenizer.json", Json{{section, step}}.dump()});
  const Json json = parse_json(*source);
  JsonObject root(source, json);
  return TextRules(root, "normalizer", "pre_tokenizer");
}

Strings pieces(const Json& step, const std::string& text) { return rules("pre_tokenizer", step).divide(text, true); }

std::string normal(const Json& step, const std::string& text) { return rules("normalizer", step).normalize(text); }

Json split_step(const std::string& expression, const char* behavior = "Isolated") {
  return {{"type", "Split"}, {"pattern", {{"Regex", expression}}}, {"behavior", behavior}, {"invert", false}};
}

TEST(TextRules, WordsAndSpacesAreThoseOfUnicode) {
  EXPECT_EQ(pieces({{"type", "Whitespace"}},
                   "x\u00b2 \u0939\u093f\u0928\u094d\u0926\u0940 e\u0301a ab\u200dc "
                   "\u0e44\u0e17\u0e22\u0e19\u0e35\u0e49 a\u180eb \u24b6b, c_1"),
            (Strings{"x", "\u00b2", "\u0939\u093f\u0928\u094d\u0926\u0940", "e\u0301a", "ab\u200dc",
                     "\u0e44\u0e17\u0e22\u0e19\u0e35\u0e49", "a", "\u180e", "b", "\u24b6b", ",", "c_1"}));
  EXPECT_EQ(pieces({{"type", "WhitespaceSplit"}}, "a\u180eb\u0085c\u3000d"), (Strings{"a\u180eb", "c", "d"}));
  const Json both = {{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}};
  EXPECT_EQ(normal(both, "\u180e a \u0085"), "\u180e a");
  EXPECT_EQ(normal(both, "\n \u180e\n a \u0085"), "\u180e\n a");
}

TEST(Oniguruma, MatchesWhatTheLibraryMatches) {
  const struct {
    const char *expression, *text;
    Strings pieces;
  } cases[] = {
      {R"(^a)", "a\naa", {"a", "\n", "a", "a"}},
      {R"(b$)", "b\nbb", {"b", "\nb", "b"}},
      {R"(a\Z|\Aa)", "aa\n", {"a", "a", "\n"}},
      {R"(.+)", "ab\rc\nd\u2028e", {"ab\rc", "\n", "d\u2028e"}},
      {R"(\h+)", "xface\tg", {"x", "face", "\tg"}},
      {R"(\v)", "a\u000bb\u2028c", {"a", "\u000b", "b\u2028c"}},
      {R"(\w+)",
       "x\u00b2 e\u0301 a\u200db \u00bd",
       {"x\u00b2", " ", "e\u0301", " ", "a", "\u200d", "b", " ", "\u00bd"}},
      {R"([\w]+)", "x\u00b2 \u00bd", {"x", "\u00b2 \u00bd"}},
      {R"(\W)", "a\u00b2b", {"a\u00b2b"}},
      {R"([^\W_]+)", "ab_c", {"ab", "_", "c"}},
      {R"(\s+)", "a\u180eb\u0085c", {"a\u180eb", "\u0085", "c"}},
      {R"(\b)", "ab cd\u0301e", {"ab", " ", "cd\u0301e"}},
      {R"([a-z&&[^aeiou]]+)", "abcde", {"a", "bcd", "e"}},
      {R"([^a-z&&[^aeiou]]+)", "abcde1", {"a", "bcd", "e1"}},
      {R"([ab[cd]]+)", "xabcdy", {"x", "abcd", "y"}},
      {R"([^(\s|[.,])]+)", "ab (c|d).e", {"ab", " (", "c", "|", "d", ").", "e"}},
      {R"([\p{L}&&[^\p{Han}]]+)", "ab\u4e2dc", {"ab", "\u4e2d", "c"}},
      {R"(\p{Han}+)", "a\u4e2d\u30fc\u3001b", {"a", "\u4e2d", "\u30fc\u3001b"}},
      {R"(\d{,2})", "a12345", {"a", "12", "34", "5"}},
      {R"(a{,})", "ba{,}", {"b", "a{,}"}},
      {R"((?i:'s|'ll))", "x'S'\u017f'lL", {"x", "'S", "'\u017f", "'lL"}},
      {R"((?i)b|c)", "aCB", {"a", "C", "B"}},
      {R"(\x41\u4e2d\x{1f600})", "zA\u4e2d\U0001f600", {"z", "A\u4e2d\U0001f600"}},
      {R"((?=(\d{3})+(?!\d)))", "x1234567", {"x1", "234", "567"}},
      {R"(x*|y)", "ayxb", {"a", "y", "x", "b"}},
  };
  for (const auto& [expression, text, expected] : cases)
    EXPECT_EQ(pieces(split_step(expression), text), expected) << expression;
}

TEST(Oniguruma, WhatIsNotTranslatedIsNamed) {
  const std::pair<const char*, const char*> cases[] = {{"a(?m:.)", "byte 2: found '(?m'"},
                                                       {"(?<n>a)", "byte 1: found '(?<'"},
                                                       {"a(?i)b", "byte 2: found '(?i)' that does not begin a group"},
                                                       {"(?i)\u00df", "byte 5: found '\u00df' in any case"},
                                                       {"(?i:ss)", "byte 6: found 'ss' in any case"},
                                                       {"(?i:\\p{L})", "byte 5: found '\\p{L}' in any case"},
                                                       {"\\d{1,2}+", "byte 8: found '+' after nothing"},
                                                       {"a**", "byte 3: found '*' after nothing"},
                                                       {"(a)\\1", "byte 4: found '\\1'"},
                                                       {"\\K", "byte 1: found '\\K'"},
                                                       {"\\xe4", "byte 1: found '\\x'"},
                                                       {"\\p{Letter}", "byte 1: found '\\p{Letter}'"},
                                                       {"[[:alpha:]]", "byte 2: found '[:'"},
                                                       {"[a&&]", "byte 5: found an empty side of '&&'"},
                                                       {"[]a]", "byte 1: found an empty class"},
                                                       {"[\\d-x]", "byte 4: found '-' after a set"},
                                                       {"[a", "byte 1: found a class without an end"},
                                                       {"x(a", "byte 2: found a group without an end"},
                                                       {"a)", "byte 2: found the end of no group"}};
  for (const auto& [expression, message] : cases) {
    const std::string found = rowan::error_of([text = expression] { from_oniguruma(text); });
    EXPECT_NE(found.find(message), std::string::npos) << expression << ": " << found;
  }
  EXPECT_EQ(rowan::error_of([] { from_oniguruma("\\K"); }),
            "pattern '\\K': byte 1: found '\\K', which Rowan does not read");
  EXPECT_NE(rowan::error_of([] { from_oniguruma(std::string(1 << 20, '[')); }), "");
}

TEST(TextRules, EmptyMatchesDivideToo) {
  const std::pair<const char*, Strings> cases[] = {{"Removed", {"a", "b"}},
                                                   {"Isolated", {"a", "xx", "b"}},
                                                   {"MergedWithPrevious", {"axx", "b"}},
                                                   {"MergedWithNext", {"a", "xxb"}},
                                                   {"Contiguous", {"a", "xx", "b"}}};
  for (const auto& [behavior, expected] : cases) {
    EXPECT_EQ(pieces(split_step("x*", behavior), "axxb"), expected) << behavior;
    EXPECT_EQ(pieces(split_step("(?=\\d)", behavior), "a12b"), (Strings{"a", "1", "2b"})) << behavior;
  }
  EXPECT_EQ(normal({{"type", "Replace"}, {"pattern", {{"Regex", "x*"}}}, {"content", "_"}}, "axxb"), "_a_b_");
}

TEST(TextRules, NothingFollowsByteLevel) {
  const Json bytes = {{"type", "ByteLevel"}}, digits = {{"type", "Digits"}};
  const Json steps = {{"type", "Sequence"}, {"pretokenizers", Json::array({bytes, digits})}};
  EXPECT_EQ(
      rowan::error_of([&] { rules("pre_tokenizer", steps); }),
      "tokenizer.json:1: pre_tokenizer.pretokenizers.1.type: found Digits after ByteLevel, expected ByteLevel to be "
      "the last step");
}

// Metaspace with "first" puts a mark before a text only if it still begins with its first character. The expected texts
// are from the package tokenizers 0.23.3.
TEST(TextRules, RemovedStartsGetNoMark) {
  const Json first = {{"type", "Metaspace"}, {"prepend_scheme", "first"}},
             spaces = {{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}},
             words = {{"type", "WhitespaceSplit"}}, digits = {{"type", "Digits"}},
             prepend = {{"type", "Prepend"}, {"prepend", "cc"}};
  auto replace = [](const char* kind, const char* text, const char* content) -> Json {
    return {{"type", "Replace"}, {"pattern", {{kind, text}}}, {"content", content}};
  };
  auto divide = [](const char* behavior) -> Json {
    return {{"type", "Split"}, {"pattern", {{"String", "b"}}}, {"behavior", behavior}};
  };
  const struct {
    std::vector<Json> normalizers, steps;
    std::vector<std::pair<const char*, const char*>> texts;
  } cases[] = {
      {{}, {}, {{"a b", "_a_b"}, {" a b", "_a_b"}, {"ba", "_ba"}}},
      {{spaces}, {}, {{"a b", "_a_b"}, {" a b", "a_b"}, {"\na", "a"}}},
      {{}, {words}, {{"a b", "_ab"}, {" a b", "ab"}}},
      {{}, {divide("Removed")}, {{"ba", "a"}, {"ab", "_a"}, {"bb a", "_a"}, {"b", ""}}},
      {{}, {divide("Isolated")}, {{"ba", "_ba"}, {"bba", "_bba"}}},
      {{}, {digits}, {{"1a", "_1a"}}},
      {{replace("String", "b", "")}, {}, {{"ba", "a"}, {"ab", "_a"}}},
      {{replace("String", "b", "c")}, {}, {{"ba", "_ca"}, {"bba", "_cca"}}},
      {{replace("Regex", "b+", "cc")}, {}, {{"ba", "_cca"}, {"bba", "cca"}, {"bb a", "cc_a"}}},
      {{replace("Regex", "b*", "1")}, {}, {{"ab", "_1a1"}, {"ba", "_1a1"}, {"bba", "1a1"}}},
      {{prepend, replace("String", "cc", "1")}, {}, {{"ba", "_1ba"}, {"ca", "_1ca"}}},
      {{spaces, prepend}, {}, {{"ab", "_ccab"}, {" ba", "ccba"}}},
      {{replace("String", "b", "aa"), replace("String", "aa", "1")}, {}, {{"ba", "_1a"}, {"bba", "_11a"}}},
      {{{{"type", "Precompiled"}, {"precompiled_charsmap", encode_base64(one_key('x', ""))}}}, {}, {{"xa", "_a"}}},
  };
  for (const auto& [normalizers, steps, texts] : cases) {
    Json before = normalizers, after = steps;
    after.push_back(first);
    after.back()["replacement"] = "_";
    const TextRules normal_rules = rules("normalizer", {{"type", "Sequence"}, {"normalizers", before}}),
                    piece_rules = rules("pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", after}});
    for (const auto& [text, expected] : texts) {
      bool keeps_start = false;
      const std::string normal_text = normal_rules.normalize(text, &keeps_start);
      std::string joined;
      for (const std::string& piece : piece_rules.divide(normal_text, keeps_start)) joined += piece;
      EXPECT_EQ(joined, expected) << before << after << text;
    }
  }
}

std::string replaced(const std::string& table, const std::string& text) {
  return normal({{"type", "Precompiled"}, {"precompiled_charsmap", encode_base64(table)}}, text);
}

TEST(TextRules, PrecompiledReplacesClusters) {
  const std::string letter = one_key('x', "\u00e9"), line = one_key('\r', " ");
  const std::pair<const char*, const char*> letters[] = {{"axb", "a\u00e9b"},
                                                         {"x\u0301y", "\u00e9y"},
                                                         {"x\u20e3", "\u00e9"},
                                                         {"x\u0301\u0301\u0301", "\u00e9\u0301\u0301\u0301"},
                                                         {"xx\u0301", "\u00e9\u00e9"}};
  for (const auto& [text, expected] : letters) EXPECT_EQ(replaced(letter, text), expected) << text;
  EXPECT_EQ(replaced(line, "a\r\nb\r\r\n\u00e9\r\n"), "a b  \u00e9 ");
  ROWAN_SHARED_OR_SKIP(file, "corpora/tokenizers/t5/spiece.model");
  const std::string t5 = read_sentencepiece_model(read_file(file)).charsmap;
  const std::pair<const char*, const char*> texts[] = {
      {"\u304b\u3099", "\u304b\u3099"},
      {"\u1100\u1161\u11a8", "\u1100\u1161\u11a8"},
      {"\ufb01\u0301n", "fin"},
      {"\uff21\u0301", "A"},
      {"a\r\nb", "a b"},
      {"e\u0301", "\u00e9"},
      {"\u00bd\u00a0", "1\u20442 "},
      {"\U0001f1e6\u200d\u0345", "\U0001f1e6 \u0345"},  // one cluster, in which PCRE2's \X sees two
  };
  for (const auto& [text, expected] : texts) EXPECT_EQ(replaced(t5, text), expected) << text;
}

}  // namespace
}  // namespace rowan

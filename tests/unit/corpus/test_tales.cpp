#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/error.h"
#include "base/files.h"
#include "corpus/tales.h"
#include "temporary_folder.h"

namespace rowan {
namespace {

// The grammar has so few stories that all of them occur in the test. Some stories draw several names, which
// always differ.
constexpr const char* small_grammar = R"(
table pet: name he
  Ann | she
  Bo | he
  Cy | he
rule story
  {a=pet.name} [ran|sat] {more}
rule more
  3 * alone.
  and {b=pet.name} saw {a.name}. {^b.he} {verb}{end}
rule verb
  2 * hid
  left
rule end
  , so {c=pet.name} [wept|slept].
  .
)";

std::string grammar_error(const std::string& grammar) {
  try {
    Tales tales{grammar};
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Tales, ProbabilitiesOfAllStoriesOfASmallGrammarSumToOne) {
  Tales tales{small_grammar};
  std::map<std::string, double> seen;
  for (uint64_t i = 0; i < 20000; ++i) {
    std::string story = tales.story(7, i);
    seen.emplace(story, tales.surprise(story));
  }
  double total = 0, nats = 0, bytes = 0;
  for (const auto& [story, surprise] : seen) {
    double p = std::exp(-surprise);
    total += p;
    nats += p * surprise;
    bytes += p * static_cast<double>(story.size());
  }
  // The start of a story has 3 * 2 forms. After it comes "alone.", or one of 2 other names, 2 verbs and 3 ends.
  EXPECT_EQ(seen.size(), 6u * (1 + 2 * 2 * 3));
  EXPECT_NEAR(total, 1.0, 1e-12);
  EXPECT_NEAR(tales.expectation().nats, nats, 1e-12);
  EXPECT_NEAR(tales.expectation().bytes, bytes, 1e-12);
}

TEST(Tales, EmbeddedStoriesParseAndAgreeWithTheExactEntropy) {
  Tales tales;
  const int stories = 4000;
  double nats = 0, squares = 0, bytes = 0;
  std::set<std::string> distinct;
  for (int i = 0; i < stories; ++i) {
    std::string story = tales.story(1, i);
    double surprise = tales.surprise(story);
    nats += surprise / stories;
    squares += surprise * surprise / stories;
    bytes += static_cast<double>(story.size()) / stories;
    for (unsigned char c : story) ASSERT_TRUE(c == '\n' || (c >= ' ' && c < 127)) << story;
    distinct.insert(std::move(story));
  }
  EXPECT_EQ(distinct.size(), static_cast<size_t>(stories));
  double standard_error = std::sqrt((squares - nats * nats) / stories);
  EXPECT_NEAR(nats, tales.expectation().nats, 5 * standard_error);
  EXPECT_NEAR(bytes, tales.expectation().bytes, 0.02 * bytes);
}

TEST(Tales, AStoryIsAFunctionOfSeedAndIndex) {
  Tales one, other;
  EXPECT_EQ(one.story(5, 17), other.story(5, 17));
  EXPECT_NE(one.story(5, 17), one.story(5, 18));
  EXPECT_NE(one.story(5, 17), one.story(6, 17));
}

TEST(Tales, TextThatIsNoStoryIsRefusedAtItsByte) {
  Tales tales{small_grammar};
  for (const char* text :
       {"", "Ann", "Ann ran", "Ann ran alone. ", "Ann ran and Ann saw Ann. She hid.", "Bo sat and Ann saw Cy."}) {
    EXPECT_THROW(tales.surprise(text), Error) << text;
  }
  try {
    tales.surprise("Bo sat and Ann saw Cy.");
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("byte 19"), std::string::npos) << error.what();
  }
}

TEST(Tales, AmbiguousOrBrokenGrammarsAreRefused) {
  EXPECT_NE(grammar_error("rule story\n  a\n  ab\n").find("prefix of the other"), std::string::npos);
  EXPECT_NE(grammar_error("rule story\n  {x}c\n  abc\nrule x\n  ab\n").find("prefix of the other"), std::string::npos);
  EXPECT_NE(grammar_error("table t: n\n  Ann\n  Anna\nrule story\n  {v=t.n}\n").find("prefix of the other"),
            std::string::npos);
  EXPECT_NE(grammar_error("rule story\n  a{story}\n").find("contains itself"), std::string::npos);
  EXPECT_NE(grammar_error("table t: n\n  A\nrule story\n  {v=t.n}{w=t.n}\n").find("no row is left to draw"),
            std::string::npos);
  EXPECT_NE(grammar_error("table t: n\n  A\nrule story\n  [x{v=t.n}|y]{v.n}\n").find("before it is drawn"),
            std::string::npos);
  EXPECT_NE(grammar_error("rule story\n  {nowhere}\n").find("no rule 'nowhere'"), std::string::npos);
  EXPECT_NE(grammar_error("rule tale\n  a\n").find("no rule 'story'"), std::string::npos);
  EXPECT_NE(grammar_error("rule story\n  a[b|]\n").find("empty alternative"), std::string::npos);
}

}  // namespace
}  // namespace rowan

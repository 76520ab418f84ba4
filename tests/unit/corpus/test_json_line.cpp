#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/random.h"
#include "corpus/json_line.h"
#include "corpus/tokenize_job.h"
#include "shared_files.h"
#include "text_files.h"

namespace rowan {
namespace {

// The field `text` of a line. Without one: the error message, "no object" or "no text".
std::string text_of(const std::string& line) {
  try {
    std::vector<JsonMember> members;
    if (!read_members(line, members)) return "no object";
    for (const JsonMember& member : members)
      if (member.key == "text") return json_string(member.value);
    return "no text";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(JsonLine, OtherFieldsMayHoldAnything) {
  for (const char* other :
       {"NaN", "Infinity", "-Infinity", "1e999", "-0.5E-7", "[NaN, {\"a\": [1, NaN]}]", "\"\\ud83d\"", "\"\xff\"", "{}",
        "[]", "[[], {\"text\": \"inner\"}]", "null", "12345678901234567890123456789"}) {
    EXPECT_EQ(text_of("{\"text\": \"kept\", \"other\": " + std::string(other) + "}"), "kept") << other;
    EXPECT_EQ(text_of(" {\"other\":" + std::string(other) + " ,\"text\":\"kept\"} "), "kept") << other;
  }
  EXPECT_EQ(text_of(R"({"te\u0078t": "\u00e9\ud83d\ude00\n\/"})"), "é😀\n/");
}

TEST(JsonLine, MistakesAreNamedByByte) {
  EXPECT_EQ(text_of(R"({"text": "cut)"), "byte 14: the line ends inside a string");
  EXPECT_EQ(text_of(R"({"text": "a"} x)"), "byte 15: found text after the value");
  EXPECT_EQ(text_of(R"({"a": nan})"), "byte 7: expected a value");
  EXPECT_EQ(text_of(R"({"a": 01})"), "byte 8: expected '}'");
  EXPECT_EQ(text_of(R"({"a": 1.})"), "byte 9: expected a digit");
  EXPECT_EQ(text_of(R"({"a": [1, 2})"), "byte 12: expected ']'");
  EXPECT_EQ(text_of(R"({"a": 1, })"), "byte 10: expected '\"'");
  EXPECT_EQ(text_of("{\"a\": \"\t\"}"), "byte 8: found a control character in a string");
  EXPECT_EQ(text_of(R"({"a": "\x"})"), "byte 9: found an unknown escape");
  EXPECT_EQ(text_of(R"({"text": "\ud83d"})"), "found half a surrogate pair, \\ud83d");
  EXPECT_EQ(text_of(R"({"text": "\ude00\ud83d"})"), "found half a surrogate pair, \\ude00");
  EXPECT_EQ(text_of("{\"text\": \"a\xff\"}"), "text is not UTF-8: byte 0xff at offset 1");
  EXPECT_EQ(text_of("[1]"), "no object");
  EXPECT_EQ(text_of(std::string(1'000'000, '[')), "byte 1001: found brackets nested too deeply");
}

// nlohmann's parser and Rowan's accept the same lines and read the same text. Lines that are excused below may differ.
TEST(JsonLine, AgreesWithAnotherParserOnDamagedLines) {
  const std::string good = R"({"text": "a\u00e9\"b", "n": [1, -2.5e3, true, null, {"k": "v"}], "text2": "x"})";
  const std::string alphabet = "{}[]\",:\\ut0129.eE+-nfa /";
  Random random(9, 0);
  for (int i = 0; i < 200'000; ++i) {
    std::string line = good;
    for (uint64_t edits = 1 + random.below(3); edits > 0; --edits) {
      const size_t at = random.below(line.size());
      const char c = alphabet[random.below(alphabet.size())];
      if (random.below(3) == 0)
        line.erase(at, 1);
      else if (random.below(2) == 0)
        line.insert(at, 1, c);
      else
        line[at] = c;
    }
    bool excused = false;  // nlohmann also refuses lone surrogates and large numbers in fields that Rowan does not read
    nlohmann::json json;
    try {
      json = nlohmann::json::parse(line);
    } catch (const nlohmann::json::out_of_range&) {
      excused = true;
    } catch (const nlohmann::json::exception& error) {
      json = nlohmann::json::value_t::discarded;
      excused = std::string(error.what()).find("surrogate") != std::string::npos;
    }
    if (excused) continue;
    std::vector<JsonMember> members;
    bool taken = true, object = false;
    try {
      object = read_members(line, members);
    } catch (const Error&) {
      taken = false;
    }
    ASSERT_EQ(taken, !json.is_discarded()) << line;
    if (!taken) continue;
    ASSERT_EQ(object, json.is_object()) << line;
    if (!object || members.size() != json.size()) continue;
    for (const JsonMember& member : members) {
      if (!json.at(member.key).is_string()) continue;
      ASSERT_EQ(json_string(member.value), json.at(member.key).get<std::string>()) << line;
    }
  }
}

TEST(JsonLine, NotANumberInAFieldThatNobodyAskedFor) {
  ROWAN_SHARED_OR_SKIP(input, "cases/nan_in_metadata.jsonl");
  TemporaryFolder folder;
  TokenizeOptions options;
  options.inputs = {input.string()};
  options.out = folder / "out";
  const TokenizeResult result = tokenize(options, *make_tokenizer("bytes"), [](const TokenizeProgress&) {});
  EXPECT_EQ(result.total.documents, 4u);
  EXPECT_EQ(result.total.text_bytes, std::string("keptsecondthirdbig").size());
  EXPECT_TRUE(result.skipped.empty());
}

}  // namespace
}  // namespace rowan

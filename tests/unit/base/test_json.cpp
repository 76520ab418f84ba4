#include <gtest/gtest.h>

#include <memory>

#include "base/error.h"
#include "base/json.h"
#include "base/json_path.h"
#include "base/json_place.h"

namespace rowan {
namespace {

std::string error_of(const std::string& text) {
  try {
    parse_json({"a.json", text});
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

std::string error_of_set(const std::string& assignment) {
  try {
    Json root = Json::object();
    apply_edit(root, assignment);
    parse_json({"a.json", root.dump()});  // every value that can be set can be read
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

std::string repeated(const std::string& text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}

TEST(Json, KeepsTheOrderOfManyKeys) {
  std::string text = "{";
  for (int i = 0; i < 100'000; ++i) text += (i ? ",\"" : "\"") + std::to_string(i * 7919 % 100'000) + "\":{}";
  Json json = parse_json({"a.json", text + "}"});
  ASSERT_EQ(json.size(), 100'000u);
  EXPECT_EQ(json.begin().key(), "0");
  EXPECT_EQ((++json.begin()).key(), "7919");
  for (int i = 0; i < 100'000; ++i) EXPECT_TRUE(json.contains(std::to_string(i)));
  EXPECT_FALSE(json.contains("100000"));
  Json copy = json;
  copy["new"] = 1;
  EXPECT_EQ(copy.at("new"), 1);
  EXPECT_EQ(copy.erase("7919"), 1u);
  EXPECT_FALSE(copy.contains("7919"));
  EXPECT_TRUE(copy.contains("15838"));
  EXPECT_EQ((++copy.begin()).key(), "15838");
  EXPECT_TRUE(json.contains("7919"));
  EXPECT_EQ(error_of(text + ",\"5\":1}"), "a.json:1:1088892: the key '5' appears twice in one object");
}

TEST(Json, FindsARepeatedKeyInAnySpelling) {
  EXPECT_EQ(error_of(R"({"a\"b": "\\", "a": 1, "\u0061": 2})"), "a.json:1:24: the key 'a' appears twice in one object");
}

// A byte order mark, which the parser skips, belongs to no line or column.
TEST(Json, AByteOrderMarkMovesNoPlace) {
  const std::string mark = "\xef\xbb\xbf", text = "{\"a\": 1,\n \"list\": [1, \"x\"]}";
  for (const std::string& start : {std::string(), mark}) {
    const auto source = std::make_shared<JsonSource>(JsonSource{"a.json", start + text});
    const Json json = parse_json(*source);
    EXPECT_EQ(JsonObject(source, json).where("list"), "a.json:2: list");
    EXPECT_EQ(line_of(source->text, "list.1"), 2);
    EXPECT_EQ(line_of(source->text, "b"), 0);
    EXPECT_EQ(error_of(start + R"({"a": 1, "a": 2})"), "a.json:1:10: the key 'a' appears twice in one object");
    EXPECT_TRUE(error_of(start + "{\"a\": x}").starts_with("a.json:1:7: ")) << error_of(start + "{\"a\": x}");
    EXPECT_EQ(error_of(start + R"({"a": 1e999})"), "a.json:1:7: not valid JSON: the number 1e999 is too large");
  }
}

// The text of a number may also be in a string before it.
TEST(Json, ANumberThatIsTooLargeIsNamedWhereItIs) {
  for (const char* end : {"}", " }", ",\"x\": 1}", "\n}"})
    EXPECT_EQ(error_of(R"({"name": "1e999", "lr": 1e999)" + std::string(end)),
              "a.json:1:25: not valid JSON: the number 1e999 is too large");
  EXPECT_EQ(error_of("[1,\n -1e999]"), "a.json:2:2: not valid JSON: the number -1e999 is too large");
  EXPECT_EQ(error_of("1e999"), "a.json:1:1: not valid JSON: the number 1e999 is too large");
}

TEST(Json, AMapOfManyNamesBecomesAnObject) {
  std::map<std::string, int> names;
  for (int i = 0; i < 50'000; ++i) names[std::to_string(i)] = i;
  const Json json = {{"names", names}};
  for (int i = 0; i < 50'000; ++i) EXPECT_EQ(json["names"][std::to_string(i)], i);
}

TEST(Json, DepthSizeAndLengthOfMessagesAreBounded) {
  EXPECT_EQ(error_of(repeated("[", 64) + repeated("]", 64)), "");
  EXPECT_EQ(error_of(repeated("[", 5'000'000)), "a.json: found nesting deeper than the limit of 64 levels");
  EXPECT_EQ(error_of("[" + repeated("1,", 5'000'000) + "1]"), "a.json: found more values than the limit of 4194304");
  EXPECT_EQ(try_parse_json("[1, 2]", 2).is_discarded(), true);
  EXPECT_EQ(try_parse_json("[1, 2]", 3).size(), 2u);
  EXPECT_LT(error_of("{\"" + std::string(5'000'000, 'k') + "\": x}").size(), 1100u);
  const std::string words = error_of("{\"" + repeated("key ", 400) + "\": 1, \"" + repeated("key ", 400) + "\": 2}");
  EXPECT_NE(words.find("key ... key"), std::string::npos) << words;
  EXPECT_EQ(error_of(std::string("{}\0 more", 8)), "a.json:1:3: not valid JSON: found a zero byte");
  EXPECT_TRUE(
      error_of("{\"a\": 1}\n x").starts_with("a.json:2:2: not valid JSON: syntax error while parsing value - "));
}

TEST(Json, WhatMayBeDamagedHasTheSameLimits) {
  EXPECT_EQ(try_parse_json(repeated("[", 65) + repeated("]", 65)).size(), 1u);
  for (const std::string& text :
       {repeated("[", 66) + repeated("]", 66), repeated("[", 5'000'000) + repeated("]", 5'000'000),
        "[" + repeated("1,", 5'000'000) + "1]", std::string(R"({"a": 1, "a": 2})"), std::string("{\"a\": 1"),
        std::string("{}\0", 3), std::string("\xff"), std::string("1e999"), std::string()})
    EXPECT_TRUE(try_parse_json(text).is_discarded()) << text.substr(0, 20);
}

TEST(Json, WhatIsSetIsAsDeepAsWhatIsRead) {
  EXPECT_EQ(error_of_set("a.b=" + repeated("[", 63) + repeated("]", 63)), "");
  EXPECT_EQ(error_of_set("a.b.c=" + repeated("[", 63) + repeated("]", 63)),
            "--set a.b.c: found nesting deeper than the limit of 64 levels");
  EXPECT_EQ(error_of_set(repeated("a.", 63) + "a=1"), "");
  EXPECT_NE(error_of_set(repeated("a.", 64) + "a=1").find("found nesting deeper than the limit of 64 levels"),
            std::string::npos);
  EXPECT_NE(error_of_set(repeated("a.", 60'000) + "a=1").find("found nesting deeper than the limit of 64 levels"),
            std::string::npos);
  EXPECT_NE(error_of_set("a={\"b\":1,\"b\":2}").find("appears twice"), std::string::npos);
}

TEST(Json, EveryDifferenceHasItsPath) {
  const Json before = {{"list", {1, 2}}, {"of", {{{"files", {"a"}}}}}, {"-", 1}, {"gone", {1, 2, 3}}, {"same", {1}}},
             after = {{"list", {1, 3, 4, 5, 6}},
                      {"of", {{{"files", {"a", "b", "c"}}}}},
                      {"-", 2},
                      {"gone", {1}},
                      {"same", {1}},
                      {"new", {7}}};
  const Json none;
  EXPECT_EQ(changes_of(before, after), Json({{"/list/1", {{"from", 2}, {"to", 3}}},
                                             {"/list/2", {{"from", none}, {"to", 4}}},
                                             {"/list/3", {{"from", none}, {"to", 5}}},
                                             {"/list/4", {{"from", none}, {"to", 6}}},
                                             {"/of/0/files/1", {{"from", none}, {"to", "b"}}},
                                             {"/of/0/files/2", {{"from", none}, {"to", "c"}}},
                                             {"/-", {{"from", 1}, {"to", 2}}},
                                             {"/gone/2", {{"from", 3}, {"to", none}}},
                                             {"/gone/1", {{"from", 2}, {"to", none}}},
                                             {"/new", {{"from", none}, {"to", {7}}}}}));
  EXPECT_EQ(changes_of(after, after), Json::object());
}

}  // namespace
}  // namespace rowan

// Tests inputs that are added to a folder of finished shards, that have changed, or that are given twice.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/json.h"
#include "text_files.h"
#include "unit/corpus/tokenize_runs.h"

namespace rowan {
namespace {

// Further inputs get their own shards after the existing ones.
TEST(TokenizeGrow, AFinishedFolderGrows) {
  TemporaryFolder folder;
  const std::string a = folder.write("a.jsonl", random_json_lines(1, 300)),
                    b = folder.write("b.json.gz", gzip(random_json_lines(2, 300))),
                    held_out = folder.write("v.jsonl", random_json_lines(3, 20)),
                    c = folder.write("c.jsonl", random_json_lines(4, 300)),
                    d = folder.write("d.jsonl", random_json_lines(5, 300));
  TokenizeOptions options = options_for({a, b}, folder / "out"), alone = options_for({c, d}, folder / "alone");
  options.validation_inputs = {held_out};
  options.shard_tokens = alone.shard_tokens = 20'000;
  const TokenizeResult before = run(options), more = run(alone);
  const auto first = contents(folder / "out");
  options.inputs = {a, b, c, d};
  const TokenizeResult grown = run(options);
  EXPECT_FALSE(grown.already_done);
  EXPECT_EQ(grown.total.documents, before.total.documents + more.total.documents);
  EXPECT_EQ(grown.total.tokens, before.total.tokens + more.total.tokens);
  EXPECT_EQ(grown.validation_tokens, before.validation_tokens);
  const auto all = contents(folder / "out");
  for (const auto& [name, bytes] : first) {
    if (name != "manifest.json") {
      EXPECT_EQ(all.at(name), bytes) << name;
    }
  }
  std::string added, wanted;
  for (const auto& [name, bytes] : all)
    if (name.ends_with(".bin") && !first.contains(name)) added += bytes.substr(shard::header_bytes);
  for (const auto& [name, bytes] : contents(folder / "alone"))
    if (name.ends_with(".bin")) wanted += bytes.substr(shard::header_bytes);
  EXPECT_EQ(added, wanted);
  EXPECT_EQ(all.size() - first.size(), 2 * static_cast<size_t>((more.total.tokens + 19'999) / 20'000));
  EXPECT_TRUE(run(options).already_done);
  EXPECT_EQ(run(options).total.tokens, grown.total.tokens);

  options.inputs = {a, b, c};
  EXPECT_NE(message(options).find("made from 5 inputs, found 4"), std::string::npos) << message(options);
  const std::string e = folder.write("e.jsonl", json_line("e"));
  options.inputs = {a, b, c, d, e};
  options.shard_tokens = 10'000;
  EXPECT_NE(message(options).find("settings/shard_tokens: found 10000, but the shards were made with 20000"),
            std::string::npos);
  options.shard_tokens = 20'000;
  options.validation_inputs = {held_out, e};
  options.inputs = {a, b, c, d};
  EXPECT_EQ(run(options).validation_tokens, before.validation_tokens + 2);
  options.inputs = {a, b, c, d, folder.write("f.jsonl", json_line("f"))};
  try {
    tokenize(options, *make_tokenizer("bytes", InvalidUtf8::refuse), [](const TokenizeProgress&) {});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(": settings/"), std::string::npos) << error.what();
  }
  folder.write("c.jsonl", json_line("other"));
  EXPECT_NE(message(options).find("c.jsonl\", which has changed or is no longer an input"), std::string::npos);
}

// When inputs are added, the rules `every` and `documents` go on counting documents. The rule `last` keeps the part of
// the text that it has held out, and the new inputs become training data.
TEST(TokenizeGrow, RulesOfValidationGoOnWhenItGrows) {
  TemporaryFolder folder;
  const std::string a = folder.write("a.jsonl", random_json_lines(1, 70)),
                    b = folder.write("b.jsonl", random_json_lines(2, 70));
  auto grown = [&](const std::string& rule, std::vector<std::string> inputs) {
    TokenizeOptions options = options_for({a}, folder / rule);
    options.validation = rule;
    options.inputs = {inputs[0]};
    run(options);
    const Json first = Json::parse(read_file(folder / rule + "/manifest.json"));
    options.inputs = std::move(inputs);
    run(options);
    EXPECT_TRUE(run(options).already_done);
    const Json all = Json::parse(read_file(folder / rule + "/manifest.json"));
    auto documents = [](const Json& manifest) {
      uint64_t count = 0;
      for (const Json& shard : manifest["validation"]) count += shard["documents"].get<uint64_t>();
      return count;
    };
    return std::pair(documents(first), documents(all));
  };
  EXPECT_EQ(grown("every:20", {a, b}), (std::pair<uint64_t, uint64_t>(4, 7)));  // documents 0 20 40 60, then 80 100 120
  EXPECT_EQ(grown("documents:100", {a, b}), (std::pair<uint64_t, uint64_t>(70, 100)));
  const auto [before, after] = grown("last:50%", {a, b});
  EXPECT_GT(before, 0u);
  EXPECT_EQ(after, before);
}

// A damaged input that is added to finished shards costs only the work on the added inputs.
TEST(TokenizeGrow, TheFinishedShardsComeBackWithoutADamagedInput) {
  TemporaryFolder folder;
  // Half of the damaged input is more than one batch of the reader.
  const std::string packed = gzip(random_json_lines(3, 9000)), a = folder.write("a.jsonl", random_json_lines(1, 300)),
                    b = folder.write("b.jsonl", random_json_lines(2, 300)), c = folder.write("c.json.gz", packed);
  TokenizeOptions options = options_for({a, b}, folder / "whole");
  options.validation = "every:20";
  options.shard_tokens = 200'000;
  options.save_seconds = 0;
  run(options);
  const auto finished = contents(folder / "whole");
  options.inputs = {a, b, c};
  run(options);
  const auto grown = contents(folder / "whole");

  options.out = folder / "out";
  options.inputs = {a, b};
  run(options);
  auto fails_to_grow = [&] {
    folder.write("c.json.gz", packed.substr(0, packed.size() / 2));
    options.inputs = {a, b, c};
    EXPECT_NE(message(options).find("c.json.gz: gzip at byte"), std::string::npos);
    const auto left = contents(folder / "out");
    EXPECT_GT(left.size(), finished.size() + 1) << "no shard was added";
    EXPECT_TRUE(left.contains("progress.json") && !left.contains("manifest.json"));
    EXPECT_EQ(left.at("manifest.before.json"), finished.at("manifest.json"));
  };
  fails_to_grow();
  options.inputs = {a, b};
  EXPECT_TRUE(run(options).already_done);
  EXPECT_EQ(contents(folder / "out"), finished);

  fails_to_grow();
  std::filesystem::remove(folder / "out/progress.json");
  options.inputs = {a};
  EXPECT_NE(message(options).find("manifest.before.json: made from 2 inputs, found 1"), std::string::npos);
  options.inputs = {a, b};
  EXPECT_TRUE(run(options).already_done);
  EXPECT_EQ(contents(folder / "out"), finished);

  fails_to_grow();
  options.inputs = {a};
  EXPECT_NE(message(options).find("progress.json: made from 3 inputs, found 1"), std::string::npos);
  folder.write("c.json.gz", packed);
  options.inputs = {a, b, c};
  EXPECT_FALSE(run(options).already_done);
  EXPECT_EQ(contents(folder / "out"), grown);
}

// Otherwise its text would count twice, or training text would be held out, too.
TEST(TokenizeInputs, AFileUnderTwoNamesIsGivenTwice) {
  TemporaryFolder folder;
  const std::string a = folder.write("a.txt", "abc"), other = folder.write("b.txt", "abc");
  std::filesystem::create_symlink("a.txt", folder / "link.txt");
  TokenizeOptions options = options_for({a, other}, folder / "out");
  options.validation = "none";
  EXPECT_EQ(message(options), "") << "equal text in two files is two files";
  options.out = folder / "more";
  for (const std::string& name : {folder / "./a.txt", folder / "link.txt"}) {
    options.inputs = {a, other, name};
    options.validation_inputs = {};
    EXPECT_EQ(message(options), name + ": given twice, also as " + a);
    options.inputs = {a, other};
    options.validation_inputs = {name};
    EXPECT_EQ(message(options), name + ": given twice, also as " + a);
  }
  options.inputs = {a, a};
  EXPECT_EQ(message(options), a + ": given twice");
  EXPECT_FALSE(std::filesystem::exists(folder / "more"));
}

TEST(TokenizeInputs, AnInputWithoutADocumentIsNamed) {
  TemporaryFolder folder;
  const std::string list = folder.write("list.json", R"([{"text": "a"}, {"text": "b"}])");
  const std::string other = folder.write("other.jsonl", "{\"content\": \"a\"}\n{\"content\": \"b\"}\n");
  const std::string empty = folder.write("empty.jsonl", ""), lines = folder.write("lines.jsonl", json_line("a"));
  const TokenizeResult result = run(options_for({lines, list, empty, other}, folder / "out"));
  EXPECT_EQ(result.total.documents, 1u);
  EXPECT_EQ(left_out(result),
            (std::vector<std::string>{"warning: " + list + ", with 1 more: found no document",
                                      "skipped 3: no string field 'text' (first: " + list + ", line 1)"}));
  EXPECT_TRUE(left_out(run(options_for({lines}, folder / "whole"))).empty());
}

// The sizes stay the same, so only checksums tell.
TEST(TokenizeInputs, AnInputOfOtherTextIsNoticed) {
  TemporaryFolder folder;
  const std::string a = folder.write("a.jsonl", json_line("one")),
                    b = folder.write("b.jsonl.gz", gzip(json_line("red")));
  TokenizeOptions options = options_for({a, b}, folder / "out");
  run(options);
  EXPECT_TRUE(run(options).already_done);
  folder.write("a.jsonl", json_line("two"));
  const std::string changed = a + ": has changed since " + (folder / "out/manifest.json") + " was written; remove";
  EXPECT_TRUE(message(options).starts_with(changed)) << message(options);
  options.inputs.push_back(folder.write("c.jsonl", json_line("c")));
  EXPECT_TRUE(message(options).starts_with(changed)) << message(options);
  folder.write("a.jsonl", json_line("one"));
  EXPECT_EQ(run(options).total.documents, 3);
}

}  // namespace
}  // namespace rowan

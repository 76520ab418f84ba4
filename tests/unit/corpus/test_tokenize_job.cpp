#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <functional>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "corpus/tokenize_job.h"
#include "error_of.h"
#include "shared_files.h"
#include "text_files.h"
#include "unit/corpus/tokenize_runs.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

template <typename T>
std::vector<T> numbers(std::string_view bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

std::vector<int32_t> header(const std::string& path) {
  return numbers<int32_t>(read_file(path).substr(0, shard::header_bytes));
}
std::vector<uint16_t> tokens(const std::string& path) {
  return numbers<uint16_t>(read_file(path).substr(shard::header_bytes));
}
std::vector<uint64_t> starts(const std::string& path) {
  return numbers<uint64_t>(read_file(path + shard::documents_suffix).substr(shard::documents_header_bytes));
}

TEST(TokenizeJob, EmptyLinesAreNoDocuments) {
  TemporaryFolder folder;
  TokenizeOptions options = options_for({folder.write("a.txt", "a\n\n\n\nb\n\n\n")}, folder / "a");
  options.split = TextSplit::blank;
  options.strict = true;
  EXPECT_EQ(run(options).total.documents, 2u);
  EXPECT_EQ(tokens(folder / "a/train-00000.bin"), (std::vector<uint16_t>{256, 'a', '\n', '\n', 256, 'b', '\n', '\n'}));
  options.inputs = {folder.write("b.txt", "\n\n\na\n\n \t\n\nb")};
  options.out = folder / "b";
  EXPECT_EQ(run(options).total.documents, 2u);
  EXPECT_EQ(tokens(folder / "b/train-00000.bin"), (std::vector<uint16_t>{256, '\n', 'a', '\n', '\n', 256, 'b'}));
}

TEST(TokenizeJob, HeaderTokensAndDocumentIndex) {
  TemporaryFolder folder;
  std::string input = folder.write("a.jsonl", json_line("abc") + json_line("de") + json_line("f"));
  TokenizeOptions options = options_for({input}, folder / "out");
  options.shard_tokens = 5;
  EXPECT_EQ(run(options).total.tokens, 9u);
  std::string first = folder / "out/train-00000.bin", second = folder / "out/train-00001.bin";
  EXPECT_EQ(tokens(first), (std::vector<uint16_t>{256, 'a', 'b', 'c', 256}));
  EXPECT_EQ(tokens(second), (std::vector<uint16_t>{'d', 'e', 256, 'f'}));
  EXPECT_EQ(starts(first), (std::vector<uint64_t>{0, 4}));
  EXPECT_EQ(starts(second), (std::vector<uint64_t>{2}));

  auto tokenizer = make_tokenizer("bytes");
  std::vector<int32_t> words = header(second);
  EXPECT_EQ(words[shard::word_magic], shard::magic_u16);
  EXPECT_EQ(words[shard::word_version], 1);
  EXPECT_EQ(words[shard::word_tokens], 4);
  EXPECT_EQ(words[shard::word_mark], shard::rowan_mark);
  EXPECT_EQ(words[shard::word_vocab], 257);
  EXPECT_EQ(words[shard::word_end_id], 256);
  EXPECT_EQ(words[shard::word_end_place], static_cast<int>(shard::EndPlace::before));
  uint64_t hash, checksum;
  std::memcpy(&hash, &words[shard::word_tokenizer_hash], 8);
  std::memcpy(&checksum, &words[shard::word_checksum], 8);
  EXPECT_EQ(hash, tokenizer->hash());
  EXPECT_EQ(checksum, hash64(read_file(second).substr(shard::header_bytes)));
  EXPECT_TRUE(fs::exists(folder / "out/manifest.json"));
  EXPECT_FALSE(fs::exists(folder / "out/progress.json"));
}

TEST(TokenizeJob, EndTokenWhereAsked) {
  TemporaryFolder folder;
  std::string input = folder.write("a.jsonl", json_line("ab") + json_line("c"));
  TokenizeOptions options = options_for({input}, folder / "after");
  options.end = shard::EndPlace::after;
  run(options);
  EXPECT_EQ(tokens(folder / "after/train-00000.bin"), (std::vector<uint16_t>{'a', 'b', 256, 'c', 256}));
  options.out = folder / "none";
  options.end = shard::EndPlace::none;
  run(options);
  EXPECT_EQ(tokens(folder / "none/train-00000.bin"), (std::vector<uint16_t>{'a', 'b', 'c'}));
  EXPECT_EQ(header(folder / "none/train-00000.bin")[shard::word_end_id], -1);
}

TEST(TokenizeJob, EverySkippedDocumentIsCounted) {
  TemporaryFolder folder;
  std::string lines = json_line("kept") + "\n" + "  \r\n" + "{\"text\": 5}\n" + "[1]\n" + "{\"text\": \"cut\n" +
                      "{\"text\": \"\\ud800\"}\n" + "{\"text\": \"\xff\"}\n" + json_line("") +
                      "{\"text\": \"nul \\u0000 stays\"}\n" + "{\"other\": \"x\"}\r\n" +
                      "{\"text\": \"x\", \"id\": 1e999}\n" + "{\"text\": \"no newline\"}";
  TokenizeOptions options = options_for({folder.write("a.jsonl", lines)}, folder / "out");
  TokenizeResult result = run(options);
  EXPECT_EQ(result.total.documents, 4u);
  std::map<std::string, uint64_t> counts;
  for (const auto& [reason, skipped] : result.skipped) counts[reason] = skipped.count;
  EXPECT_EQ(
      counts,
      (std::map<std::string, uint64_t>{
          {"blank line", 2}, {"no string field 'text'", 3}, {"no text", 1}, {"not JSON", 1}, {"not Unicode", 2}}));
  EXPECT_NE(result.skipped["not JSON"].first.find("a.jsonl, line 6: "), std::string::npos);
  std::string manifest = read_file(folder / "out/manifest.json");
  EXPECT_NE(manifest.find("not Unicode"), std::string::npos);
  auto written = tokens(folder / "out/train-00000.bin");
  EXPECT_NE(std::find(written.begin(), written.end(), 0), written.end());

  options.out = folder / "strict";
  options.strict = true;
  EXPECT_NE(message(options).find("line 4"), std::string::npos);
}

TEST(TokenizeJob, InvalidBytesInTextAreKeptOrRefused) {
  TemporaryFolder folder;
  TokenizeOptions options =
      options_for({folder.write("a.txt", "ab\xff"), folder.write("b.txt", "cd")}, folder / "keep");
  run(options);
  EXPECT_EQ(tokens(folder / "keep/train-00000.bin"), (std::vector<uint16_t>{256, 'a', 'b', 255, 256, 'c', 'd'}));
  options.out = folder / "refuse";
  TokenizeResult result =
      tokenize(options, *make_tokenizer("bytes", InvalidUtf8::refuse), [](const TokenizeProgress&) {});
  EXPECT_EQ(result.skipped["refused by the tokenizer"].count, 1u);
  EXPECT_EQ(tokens(folder / "refuse/train-00000.bin"), (std::vector<uint16_t>{256, 'c', 'd'}));
}

TEST(TokenizeJob, ValidationRules) {
  TemporaryFolder folder;
  std::string input = folder.write("a.jsonl", random_json_lines(5, 2000));
  auto documents = [&](const std::string& rule) {
    TokenizeOptions options = options_for({input}, folder / rule);
    options.validation = rule;
    run(options);
    uint64_t train = 0, validation = 0;
    Json manifest = Json::parse(read_file(folder / rule + "/manifest.json"));
    for (const Json& shard : manifest["train"]) train += shard["documents"].get<uint64_t>();
    for (const Json& shard : manifest["validation"]) validation += shard["documents"].get<uint64_t>();
    return std::pair(train, validation);
  };
  EXPECT_EQ(documents("none"), (std::pair<uint64_t, uint64_t>(2000, 0)));
  EXPECT_EQ(documents("every:200"), (std::pair<uint64_t, uint64_t>(1990, 10)));
  EXPECT_EQ(documents("documents:7"), (std::pair<uint64_t, uint64_t>(1993, 7)));
  auto [train, validation] = documents("hash:0.1");
  EXPECT_EQ(train + validation, 2000u);
  EXPECT_GT(validation, 140u);
  EXPECT_LT(validation, 260u);
  documents("tokens:1000");
  EXPECT_EQ(header(folder / "tokens:1000/validation-00000.bin")[shard::word_tokens], 1000);
  for (const char* wrong : {"evry:3", "every:0", "every:", "hash:2", "documents:x", "tokens"})
    EXPECT_THROW(ValidationRule::parse(wrong), Error) << wrong;
}

// `last:10%` holds out about the last tenth of the text, independent of file boundaries. Plain text is cut at the end
// of a line if it has line ends.
TEST(TokenizeJob, TheLastPartOfTheTextIsHeldOut) {
  TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "line " + std::to_string(1000 + i) + "\n";  // 10 bytes
  auto held_out = [&](std::vector<std::string> inputs, const std::string& name, const std::string& rule,
                      TextSplit split = TextSplit::file) {
    TokenizeOptions options = options_for(std::move(inputs), folder / name);
    options.validation = rule;
    options.end = shard::EndPlace::none;
    options.split = split;
    run(options);
    auto of = [&](const std::string& file) {
      const auto ids = fs::exists(folder / file) ? tokens(folder / file) : std::vector<uint16_t>();
      return std::string(ids.begin(), ids.end());
    };
    EXPECT_TRUE(run(options).already_done);
    return std::pair(of(name + "/train-00000.bin"), of(name + "/validation-00000.bin"));
  };
  const std::string plain = folder.write("a.txt", text), packed = folder.write("a.txt.gz", gzip(text));
  for (const std::string& input : {plain, packed}) {
    const std::string name = input == plain ? "plain" : "packed";
    const auto [train, validation] = held_out({input}, name, "last:10%");
    EXPECT_EQ(train, text.substr(0, 9000));
    EXPECT_EQ(validation, text.substr(9000));
  }
  EXPECT_EQ(held_out({plain}, "inside", "last:10.05%").second, text.substr(9000)) << "lines stay whole";
  EXPECT_EQ(held_out({plain}, "third", "last:33.3%").second, text.substr(6670));
  // With two files, the cut is inside the first file or exactly before the second.
  const std::string second = folder.write("b.txt", "0123456789");
  EXPECT_EQ(held_out({plain, second}, "two", "last:50%").second, text.substr(5010) + "0123456789");
  EXPECT_EQ(held_out({plain, second}, "end", "last:0.1%").second, "0123456789");
  // Text without line ends is cut after a word. Text without spaces is cut after a character.
  const std::string words = folder.write("c.txt", "aaaa bbbb cccc dddd eeee"), letters = folder.write("d.txt", "ééééé");
  EXPECT_EQ(held_out({words}, "words", "last:50%").second, "dddd eeee");
  EXPECT_EQ(held_out({letters}, "letters", "last:50%").second, "éé");
  // Documents stay whole.
  const std::string lines = folder.write("e.jsonl", json_line("aa") + json_line("bb") + json_line("cc"));
  EXPECT_EQ(held_out({lines}, "lines", "last:50%").second, "cc");
  EXPECT_EQ(held_out({plain}, "split", "last:10%", TextSplit::line).second.size(), 900u);
  for (const char* wrong : {"last:10", "last:0%", "last:100%", "last:%", "last:x%"})
    EXPECT_THROW(ValidationRule::parse(wrong), Error) << wrong;
  TokenizeOptions options = options_for({"-"}, folder / "stdin");
  options.validation = "last:10%";
  EXPECT_NE(message(options).find("found standard input"), std::string::npos);
}

TEST(TokenizeJob, ACutTextContinuesWhereItStopped) {
  TemporaryFolder folder;
  std::vector<std::string> inputs;
  for (int i = 0; i < 3; ++i) inputs.push_back(folder.write(std::to_string(i) + ".txt", random_json_lines(i, 8000)));
  TokenizeOptions options = options_for(inputs, folder / "whole");
  options.validation = "last:40%";
  run(options);
  options.out = folder / "stopped";
  options.save_seconds = 0;
  auto tokenizer = make_tokenizer("bytes");
  int stops = 0;
  for (bool done = false; !done;) {
    int batches = 0;
    try {
      tokenize(options, *tokenizer, [&](const TokenizeProgress&) {
        if (++batches == 3) fail("stopped");
      });
      done = true;
    } catch (const Error& error) {
      ASSERT_STREQ(error.what(), "stopped");
      ASSERT_LT(++stops, 100);
    }
  }
  EXPECT_GE(stops, 2);
  EXPECT_EQ(contents(folder / "stopped"), contents(folder / "whole"));
}

TEST(TokenizeJob, SameBytesWithAnyNumberOfThreads) {
  TemporaryFolder folder;
  std::vector<std::string> inputs = {folder.write("a.json.gz", gzip(random_json_lines(1, 4000))),
                                     folder.write("b.jsonl.zst", zstd(random_json_lines(2, 4000))),
                                     folder.write("c.jsonl", random_json_lines(3, 5000) + "broken\n\n")};
  std::map<std::string, std::string> expected;
  for (int threads : {1, 2, 7}) {
    TokenizeOptions options = options_for(inputs, folder / std::to_string(threads));
    options.threads = threads;
    options.shard_tokens = 300'000;
    options.validation = "hash:0.02";
    run(options);
    auto found = contents(options.out);
    EXPECT_GT(found.size(), 8u);
    if (expected.empty()) expected = found;
    EXPECT_EQ(found, expected) << threads << " threads";
  }
}

TEST(TokenizeJob, ContinuesWhatADamagedInputStopped) {
  TemporaryFolder folder;
  std::string good = random_json_lines(1, 20000);
  std::string input = folder.write("a.jsonl", good);
  TokenizeOptions options = options_for({input}, folder / "whole");
  options.shard_tokens = 1'000'000;
  options.validation = "every:100";
  run(options);

  // The same job again, but the progress callback interrupts each attempt at the third report.
  options.out = folder / "stopped";
  options.save_seconds = 0;
  auto tokenizer = make_tokenizer("bytes");
  int stops = 0;
  for (bool done = false; !done;) {
    int batches = 0;
    try {
      tokenize(options, *tokenizer, [&](const TokenizeProgress&) {
        if (++batches == 3) fail("stopped");
      });
      done = true;
    } catch (const Error& error) {
      ASSERT_STREQ(error.what(), "stopped");
      ASSERT_LT(++stops, 100);
    }
  }
  EXPECT_GE(stops, 3);
  EXPECT_EQ(contents(folder / "stopped"), contents(folder / "whole"));
}

TEST(TokenizeJob, InputsForValidationOnly) {
  TemporaryFolder folder;
  TokenizeOptions options = options_for({folder.write("a.jsonl", json_line("ab"))}, folder / "out");
  options.validation_inputs = {folder.write("b.jsonl", json_line("c"))};
  run(options);
  EXPECT_EQ(tokens(folder / "out/train-00000.bin"), (std::vector<uint16_t>{256, 'a', 'b'}));
  EXPECT_EQ(tokens(folder / "out/validation-00000.bin"), (std::vector<uint16_t>{256, 'c'}));
}

TEST(TokenizeJob, FinishedWorkIsChecked) {
  TemporaryFolder folder;
  TokenizeOptions options = options_for({folder.write("a.jsonl", json_line("abc"))}, folder / "out");
  run(options);
  EXPECT_TRUE(run(options).already_done);
  std::string shard = read_file(folder / "out/train-00000.bin");
  shard.back() ^= 1;
  folder.write("out/train-00000.bin", shard);
  EXPECT_NE(message(options).find("train-00000.bin: damaged"), std::string::npos);
  shard.back() ^= 1;
  folder.write("out/train-00000.bin", shard);
  std::string index = read_file(folder / "out/train-00000.bin.documents");
  folder.write("out/train-00000.bin.documents", index.substr(0, index.size() - 8));
  EXPECT_NE(message(options).find("train-00000.bin.documents: byte 8"), std::string::npos);
  fs::remove(folder / "out/train-00000.bin.documents");
  EXPECT_NE(message(options).find("train-00000.bin.documents: found no file"), std::string::npos);
  folder.write("out/train-00000.bin.documents", index);
  EXPECT_TRUE(run(options).already_done);
  const std::string stale = folder.write("out/train-00001.bin", shard);
  EXPECT_NE(message(options).find("train-00001.bin: found a shard that manifest.json does not list"),
            std::string::npos);
  fs::remove(stale);
  folder.write("out/train-00000.bin", shard.substr(0, shard.size() - 2));
  EXPECT_NE(message(options).find("make a file of 1032 bytes, but this file has 1030"), std::string::npos);
}

TEST(TokenizeJob, OtherWorkInTheFolderIsNotMixed) {
  TemporaryFolder folder;
  std::string input = folder.write("a.jsonl", json_line("abc"));
  TokenizeOptions options = options_for({input}, folder / "out");
  run(options);
  EXPECT_TRUE(run(options).already_done);
  options.shard_tokens = 7;
  EXPECT_NE(message(options).find("settings/shard_tokens: found 7, but the shards were made with 100000000"),
            std::string::npos);
  fs::remove(folder / "out/manifest.json");
  EXPECT_NE(message(options).find("train-00000.bin: found a shard without"), std::string::npos);
  options.out = folder / "empty";
  options.inputs = {folder.write("none.jsonl", "\n\n")};
  EXPECT_NE(message(options).find("no document in the input; 2 skipped: blank line"), std::string::npos);
  options.inputs = {input, input};
  EXPECT_NE(message(options).find("given twice"), std::string::npos);
  options.inputs = {folder.write("\xff.jsonl", json_line("a"))};
  EXPECT_NE(message(options).find("the name of a file that is not valid UTF-8"), std::string::npos);
}

// An incomplete download stops the command. Once a shard is written, a later command with other settings is refused,
// and the message names the setting.
TEST(TokenizeJob, SettingsOfAnInterruptedRunAreKept) {
  TemporaryFolder folder;
  const std::string packed = gzip(random_json_lines(1, 3000));
  const std::string good = folder.write("a.jsonl", random_json_lines(2, 3000));
  const std::string cut = folder.write("b.json.gz", packed.substr(0, packed.size() / 2));
  TokenizeOptions options = options_for({good, cut}, folder / "out");
  options.save_seconds = 0;
  EXPECT_NE(message(options).find("b.json.gz: gzip at byte"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder / "out/manifest.json"));
  folder.write("b.json.gz", packed);
  const std::string changed = message(options);
  EXPECT_NE(changed.find("settings/inputs/1/bytes: found " + std::to_string(packed.size())), std::string::npos)
      << changed;
  options.inputs = {good};
  EXPECT_NE(message(options).find("made from 2 inputs, found 1"), std::string::npos);
  options.inputs = {good, cut};
  try {
    tokenize(options, *make_tokenizer("bytes", InvalidUtf8::refuse), [](const TokenizeProgress&) {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(": settings/"), std::string::npos) << error.what();
  }
  for (const char* note : {"", "{", "[]", "{\"train\": 1}"}) {
    folder.write("out/progress.json", note);
    EXPECT_NE(message(options).find("progress.json: damaged"), std::string::npos) << note;
  }
  // No shard is written yet, so any settings are accepted.
  TokenizeOptions fresh = options_for({folder.write("c.json.gz", packed.substr(0, 20))}, folder / "fresh");
  EXPECT_NE(message(fresh), "");
  EXPECT_TRUE(fs::exists(folder / "fresh/progress.json"));
  fresh.inputs = {good};
  fresh.shard_tokens = 12345;
  EXPECT_EQ(run(fresh).total.documents, 3000u);
}

TEST(TokenizeJob, ByteOrderMarksAndCarriageReturns) {
  TemporaryFolder folder;
  TokenizeOptions options = options_for(
      {folder.write("a.jsonl", "\xef\xbb\xbf" + json_line("a")), folder.write("b.jsonl", "{\"text\":\"b\\r\\n\"}\r\n"),
       folder.write("c.txt",
                    "\xef\xbb\xbf"
                    "c\r\n")},
      folder / "out");
  run(options);
  EXPECT_EQ(tokens(folder / "out/train-00000.bin"),
            (std::vector<uint16_t>{256, 'a', 256, 'b', '\r', '\n', 256, 0xef, 0xbb, 0xbf, 'c', '\r', '\n'}));
}

// Runs a job that calls change() at its first report, after the sizes of the inputs are noted and before they are read.
// Returns the message of the error.
std::string changed_meanwhile(const TokenizeOptions& options, const std::function<void()>& change) {
  bool changed = false;
  try {
    tokenize(options, *make_tokenizer("bytes"), [&](const TokenizeProgress&) {
      if (!std::exchange(changed, true)) change();
    });
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(TokenizeJob, AnInputThatChangesWhileItIsReadIsRefused) {
  TemporaryFolder folder;
  const std::string lines = random_json_lines(3, 50), more = json_line("more");
  const std::pair<std::string, std::string> inputs[] = {
      {"a.txt", lines}, {"b.jsonl", lines}, {"c.jsonl.gz", gzip(lines)}, {"d.txt.zst", zstd(lines)}};
  for (const auto& input : inputs) {
    const std::string &name = input.first, &text = input.second, path = folder.write(name, text);
    TokenizeOptions options = options_for({path}, folder / name + ".out");
    const std::string added = name.ends_with(".gz") ? gzip(more) : name.ends_with(".zst") ? zstd(more) : more;
    const std::string grown = changed_meanwhile(options, [&] { folder.write(name, text + added); });
    EXPECT_EQ(grown, fmt::format("{}: found {} bytes, expected {} as at the start; the file has changed while it was "
                                 "read",
                                 path, text.size() + added.size(), text.size()));
    EXPECT_FALSE(fs::exists(folder / name + ".out/manifest.json"));
    folder.write(name, text);
    const std::string cut = changed_meanwhile(options, [&] { fs::resize_file(path, text.size() / 2); });
    EXPECT_TRUE(cut.starts_with(path + ": ")) << cut;
    EXPECT_FALSE(fs::exists(folder / name + ".out/manifest.json"));
  }
}

TEST(TokenizeJob, ShardsThatAreRemovedMeanwhileAreMissed) {
  TemporaryFolder folder;
  TokenizeOptions options = options_for({folder.write("a.jsonl", random_json_lines(4, 3000))}, folder / "out");
  options.shard_tokens = 10000;
  for (const char* name : {"train-00000.bin", "train-00000.bin.documents"}) {
    std::string error;
    bool removed = false;
    try {
      tokenize(options, *make_tokenizer("bytes"), [&](const TokenizeProgress&) {
        if (!removed) removed = fs::remove(folder / "out/" + name);
      });
    } catch (const Error& caught) {
      error = caught.what();
    }
    EXPECT_TRUE(removed);
    EXPECT_TRUE(error.starts_with(folder / "out/" + name + ": found no file, expected the ")) << error;
    EXPECT_FALSE(fs::exists(folder / "out/manifest.json"));
    fs::remove_all(folder / "out");
  }
}

TEST(TokenizeJob, TinyShakespeareAsLlmCWritesIt) {
  ROWAN_SHARED_OR_SKIP(vocabulary, "corpora/tokenizers/gpt2/gpt2.tiktoken");
  TemporaryFolder folder;
  TokenizeOptions options = options_for({shared_file("corpora/text/tinyshakespeare.txt")}, folder / "out");
  options.split = TextSplit::blank;
  options.validation = "tokens:32768";
  run(options, "gpt2:" + vocabulary.string());
  for (auto [ours, theirs] : {std::pair("out/train-00000.bin", "corpora/shards/tiny_shakespeare_train.bin"),
                              std::pair("out/validation-00000.bin", "corpora/shards/tiny_shakespeare_val.bin")}) {
    std::string bytes = read_file(folder / ours);
    // Clears the header words that llm.c leaves at zero.
    std::memset(bytes.data() + 4 * shard::word_mark, 0, shard::header_bytes - 4 * shard::word_mark);
    EXPECT_EQ(bytes, read_file(shared_file(theirs))) << ours;
  }
}

// As if this process had slept, and another machine had taken the folder meanwhile.
TEST(TokenizeJob, AJobThatLostItsFolderWritesNothingMore) {
  const TemporaryFolder folder;
  const TokenizeOptions options = options_for({folder.write("a.jsonl", json_line("abc"))}, folder / "out");
  std::map<std::string, std::string> there;
  int reports = 0;
  const std::string error = error_of([&] {
    tokenize(options, *make_tokenizer("bytes"), [&](const TokenizeProgress&) {
      if (reports++ > 0) return;
      write_file_atomically(folder / "out/lock", R"({"host": "other", "process": 7, "since": "noon"})");
      there = contents(folder / "out");
    });
  });
  EXPECT_EQ(error, folder / "out" +
                       ": another process tokenizes into it: process 7 on other since noon; wait for it or "
                       "stop it");
  EXPECT_EQ(contents(folder / "out"), there);
}

}  // namespace
}  // namespace rowan

#include <gtest/gtest.h>

#include "tokenizer/sentencepiece_model.h"
#ifdef ROWAN_SENTENCEPIECE
#include <sentencepiece_processor.h>
#endif

#include <ctime>

#include "base/error.h"
#include "base/random.h"
#include "charsmap_tables.h"
#include "corpus/hard_text.h"
#include "corpus/train_tokenizer.h"
#include "random_text.h"
#include "run/export.h"
#include "shared_files.h"
#include "text_files.h"
#include "tokenizer/charsmap.h"
#include "tokenizer/tokenizer.h"

namespace rowan {
namespace {

std::string model_error(const std::string& bytes) {
  try {
    read_sentencepiece_model(bytes);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// A field of a protobuf message: key, length and content.
std::string field(int number, const std::string& bytes) {
  return std::string(1, static_cast<char>(number << 3 | 2)) + static_cast<char>(bytes.size()) + bytes;
}

TEST(SentencepieceModel, MistakesAreNamed) {
  const std::string unknown = field(1, field(1, "<unk>") + "\x18\x02");
  EXPECT_EQ(model_error(unknown + field(1, field(1, "a"))), "");
  EXPECT_EQ(model_error(""), "found no pieces");
  EXPECT_EQ(model_error(field(1, field(1, "a"))), "found no unknown piece");
  EXPECT_EQ(model_error(unknown + unknown), "found two unknown pieces, 0 and 1");
  EXPECT_EQ(model_error(unknown.substr(0, 5)), "truncated: found 3 bytes, expected 9");
  EXPECT_EQ(model_error(unknown + field(1, field(1, "\xff"))), "found a piece that is not UTF-8");
  EXPECT_EQ(model_error(unknown + field(1, field(1, std::string(1, '\0')))), "found a piece with a zero byte");
  EXPECT_EQ(model_error(unknown + field(1, field(1, ""))), "found a piece of 0 bytes, expected 1 to 1024");
  EXPECT_EQ(model_error(unknown + field(1, field(1, "a") + "\x18\x09")), "piece 'a': found the unknown type 9");
  EXPECT_EQ(model_error(unknown + field(1, field(1, "a") + std::string("\x15\0\0\xc0\x7f", 5))),
            "piece 'a': found the score nan, expected a finite score");
  EXPECT_EQ(model_error(unknown + field(2, "\x18\x07")), "found the unknown kind 7");
  EXPECT_EQ(model_error(unknown + field(3, field(2, "abc"))),
            "precompiled_charsmap: damaged: found a trie of 0 bytes in a table of 3");
  EXPECT_EQ(model_error(unknown + "\x0b"), "field 1 has the unknown wire type 3");
}

TEST(Charsmap, ReplacesTheLongestKey) {
  ROWAN_SHARED_OR_SKIP(file, "corpora/tokenizers/t5/spiece.model");
  const Charsmap table(read_sentencepiece_model(read_file(file)).charsmap);
  auto applied = [&](const std::string& text) {
    std::string result;
    table.apply(text, result);
    return result;
  };
  EXPECT_EQ(applied("plain"), "plain");
  EXPECT_EQ(applied("\uff21\u00bd\u00a0x\u200b"), "A1\u20442 x ");
  EXPECT_EQ(applied("e\u0301 \u4e2d"), "\u00e9 \u4e2d");
  EXPECT_EQ(applied("\ufdfa").size(), 33u);
}

// Tokenizers rely on the text staying valid UTF-8.
TEST(Charsmap, GivesOnlyText) {
  auto applied = [](const std::string& table, const std::string& text) {
    std::string result;
    Charsmap(table).apply(text, result);
    return result;
  };
  EXPECT_EQ(applied(one_key('x', "\u00e9y"), "axb"), "a\u00e9yb");
  for (const char* invalid : {"\xff", "y\xc3", "\xed\xa0\x80"}) try {
      Charsmap table(one_key('x', invalid));
      ADD_FAILURE() << "was not refused";
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), "precompiled_charsmap: damaged: found a replacement at byte 0 that is not UTF-8");
    }
  EXPECT_EQ(applied(one_key(0xc3, "y"), "a\u00e9b"), "a\u00e9b") << "a key that is the first byte of a character";
}

// The root of this trie is also its child for 'a', and the search for the end of that key's replacement leaves the
// table.
TEST(Charsmap, TheRootIsNoChild) {
  std::vector<uint32_t> units(256);
  units[0] = 0x18561;
  units[0x61] = 0xffffff00;
  try {
    Charsmap table(charsmap_table(units, ""));
    ADD_FAILURE() << "was not refused";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "precompiled_charsmap: damaged: found a cycle in the trie");
  }
}

class ModelFile {
 public:
  explicit ModelFile(const std::string& bytes) : spec_("sentencepiece:" + folder_.write("a.model", bytes)) {}
  std::unique_ptr<Tokenizer> open() const { return make_tokenizer(spec_); }

 private:
  TemporaryFolder folder_;
  std::string spec_;
};

// T5's model, cut to its first 2,000 pieces.
std::string small_t5(const std::string& whole) {
  std::string result;
  int pieces = 0;
  for (size_t at = 0; at < whole.size();) {
    size_t next = at + 1;
    uint64_t size = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(whole[next++]);
      size |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    if (whole[at] != 0x0a || ++pieces <= 2000) result.append(whole, at, next - at + size);
    at = next + size;
  }
  return result;
}

// Without Rowan's checks, a damaged model may crash sentencepiece or make it allocate memory without end.
TEST(SentencepieceModel, DamagedOnesAreRefusedOrSafe) {
  ROWAN_SHARED_OR_SKIP(file, "corpora/tokenizers/t5/spiece.model");
  const std::string good = small_t5(read_file(file));
  const size_t map = good.find(read_sentencepiece_model(good).charsmap);
  ASSERT_NE(map, std::string::npos);
  Random random(11, 0);
  int refused = 0;
  for (int i = 0; i < 120; ++i) {
    std::string bad = good;
    const size_t begin = i % 3 == 0 ? 0 : map, size = i % 3 == 0 ? map : good.size() - map;
    for (uint64_t edits = 1 + random.below(i % 2 ? 3 : 100); edits > 0; --edits)
      bad[begin + random.below(size)] = static_cast<char>(random.below(256));
    if (i % 10 == 9) bad.resize(random.below(bad.size()));
    try {
      auto tokenizer = ModelFile(bad).open();
      for (int text = 0; text < 10; ++text) tokenizer->encode(random_text(random, true));
    } catch (const Error& error) {
      refused += std::string(error.what()).find("this build has no") == std::string::npos;
    }
  }
  EXPECT_GT(refused, 20);
}

// A trained model; "" in a build without the trainer.
std::string trained(bool bpe) {
  TemporaryFolder folder;
  TokenizerTraining training;
  AllSkipped skipped;
  training.inputs = {folder.write("a.jsonl", random_json_lines(1, 300)),
                     folder.write("b.txt", "caf\u00e9  two spaces\tand 1234 a tab\nthe the the cat sat on the mat\n")};
  training.bpe = bpe;
  training.vocabulary = 600;
  try {
    return train_tokenizer(training, skipped);
  } catch (const Error& error) {
    if (std::string(error.what()).find("this build has no") == std::string::npos) throw;
    return "";
  }
}

#ifdef ROWAN_SENTENCEPIECE
// Of pairs that make pieces of equal score, the library merges the leftmost one. The hard ids are from sentencepiece
// 0.2.3.
TEST(SentencepieceModel, EqualScoresGoFromLeftToRight) {
  std::string model = field(1, field(1, "<unk>") + "\x18\x02") + field(1, field(1, "<s>") + "\x18\x03") +
                      field(1, field(1, "</s>") + "\x18\x03");
  for (const char* pair : {"ab", "ba"}) model += field(1, field(1, pair) + std::string("\x15\0\0\x80\xbf", 5));  // -1
  for (const char* character : {"a", "b", "\u2581"})
    model += field(1, field(1, character) + std::string("\x15\0\0\xa0\xc0", 5));  // -5
  model += field(2, "\x18\x02") + field(3, "");
  auto tokenizer = ModelFile(model).open();
  sentencepiece::SentencePieceProcessor library;
  ASSERT_TRUE(library.LoadFromSerializedProto(model).ok());
  EXPECT_EQ(tokenizer->encode("bab aba"), (std::vector<int32_t>{7, 4, 6, 7, 3, 5}));
  Random random(6, 0);
  for (int i = 0; i < 200; ++i) {
    std::string text;
    for (uint64_t n = random.below(20); n > 0; --n) text += "ab "[random.below(3)];
    std::vector<int> expected;
    ASSERT_TRUE(library.Encode(text, &expected).ok());
    ASSERT_EQ(tokenizer->encode(text), std::vector<int32_t>(expected.begin(), expected.end())) << text;
  }
}

TEST(TrainedTokenizer, GivesWhatTheLibraryGives) {
  for (bool bpe : {true, false}) {
    const std::string model = trained(bpe);
    if (model.empty()) GTEST_SKIP() << "built without the trainer of sentencepiece";
    auto tokenizer = ModelFile(model).open();
    EXPECT_EQ(tokenizer->vocab_size(), 600);
    EXPECT_EQ(tokenizer->end_id(), 2);
    sentencepiece::SentencePieceProcessor library;
    ASSERT_TRUE(library.LoadFromSerializedProto(model).ok());
    Random random(3, 0);
    for (int i = 0; i < 300; ++i) {
      const std::string text = random_text(random, true) + "  the cat\n" + random_text(random, true);
      std::vector<int> expected;
      ASSERT_TRUE(library.Encode(text, &expected).ok());
      ASSERT_EQ(tokenizer->encode(text), std::vector<int32_t>(expected.begin(), expected.end())) << text;
      if (text.find("\u2581") == std::string::npos) {
        ASSERT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
      }
    }
  }
}

TEST(TrainedTokenizer, TextThatDoesNotFitIsNamedInOneLine) {
  TemporaryFolder folder;
  std::string characters;
  for (uint32_t code = 0x4e00; code < 0x4e00 + 500; ++code) append_utf8(characters, code);
  auto error = [&](const std::string& text, bool bpe) -> std::string {
    TokenizerTraining training;
    AllSkipped skipped;
    training.inputs = {folder.write("text.txt", text)};
    training.bpe = bpe;
    training.vocabulary = 400;
    try {
      train_tokenizer(training, skipped);
    } catch (const Error& refused) {
      return refused.what();
    }
    return "";
  };
  if (error("", true).find("this build has no") == 0) GTEST_SKIP() << "built without the trainer of sentencepiece";
  const std::string file = folder / "text.txt";
  EXPECT_EQ(error("\n\n", true), file + ": found no text to train a tokenizer on");
  EXPECT_EQ(error("a\nb\xff\n\xff\n", true).find("no text"), std::string::npos);
  EXPECT_EQ(error("\xff\n\xff", true),
            file + ": found no text to train a tokenizer on; 2 skipped: not UTF-8 (first " + file + ", line 1)");
  EXPECT_EQ(error("hello world\n", true),
            file + ": found too little text for a vocabulary of 400 ids: the text gives at most 287");
  EXPECT_EQ(error("hello world\n", false),
            file + ": found too little text for a vocabulary of 400 ids: the text gives at most 267");
  EXPECT_EQ(
      error(characters, true),
      file + ": found a vocabulary of 400 ids, expected at least 760 for the characters of the text and single bytes");
}

TEST(TrainedTokenizer, WhatIsSkippedIsCounted) {
  TemporaryFolder folder;
  TokenizerTraining training;
  AllSkipped skipped;
  const std::string lines =
      random_json_lines(1, 300) + "\n{\"text\": 5}\n[1]\n{\"text\": \"cut\n{\"text\": \"\xff\"}\n" + json_line("");
  const std::string text = folder.write("b.txt", "good\n\nbad \xff\n" + std::string(9000, '\xff') + "\n");
  training.inputs = {folder.write("a.jsonl", lines), text};
  training.vocabulary = 400;
  try {
    train_tokenizer(training, skipped);
  } catch (const Error& error) {
    GTEST_SKIP() << error.what();
  }
  std::map<std::string, uint64_t> counts;
  for (const auto& [reason, records] : skipped) counts[reason] = records.count;
  EXPECT_EQ(counts, (std::map<std::string, uint64_t>{{"blank line", 1},
                                                     {"no string field 'text'", 2},
                                                     {"no text", 1},
                                                     {"not JSON", 1},
                                                     {"not UTF-8", 2},
                                                     {"not Unicode", 1}}));
  EXPECT_EQ(skipped["not UTF-8"].first, text + ", line 3");
}

// A line longer than the longest sentence is cut between two characters. A line that is not UTF-8 may have no such
// place and is skipped.
TEST(TrainedTokenizer, LongLinesThatAreNotTextAreSkipped) {
  const std::string text = random_json_lines(1, 300);
  auto model = [&](const std::string& more) {
    TemporaryFolder folder;
    TokenizerTraining training;
    AllSkipped skipped;
    training.inputs = {folder.write("a.txt", more + "\n" + text)};
    training.format = TextFormat::text;
    training.vocabulary = 400;
    return train_tokenizer(training, skipped);
  };
  std::string expected;
  try {
    expected = model("");
  } catch (const Error& error) {
    GTEST_SKIP() << error.what();
  }
  const std::string tails(5000, '\x80');
  for (const std::string& line : {tails, "a" + tails, std::string(5000, '\xbf') + "\n" + tails})
    EXPECT_EQ(model(line), expected) << line.substr(0, 1);
  for (const std::string character : {"\u00e9", "\u4e2d", "\U0001f600"}) {
    std::string line, cut;
    for (size_t i = 0; i < 3000; ++i) {
      if (i > 0 && i % (4000 / character.size()) == 0) cut += '\n';
      cut += character;
      line += character;
    }
    EXPECT_EQ(model(line), model(cut)) << character;
  }
}

class ExportedModel : public testing::TestWithParam<bool> {};

TEST_P(ExportedModel, IsTheSame) {
  const std::string model = trained(GetParam());
  if (model.empty()) GTEST_SKIP() << "built without the trainer of sentencepiece";
  const ModelFile file(model);
  auto tokenizer = file.open();
  TemporaryFolder folder;
  for (const auto& [name, content] : tokenizer_files(*tokenizer, 64)) folder.write(name, content);
  auto back = make_tokenizer("huggingface:" + (folder / "tokenizer.json"));
  EXPECT_EQ(back->vocab_size(), 600);
  EXPECT_EQ(back->end_id(), 2);
  Random random(4, 0);
  int other = 0;
  for (int i = 0; i < 300; ++i) {
    const std::string text = random_text(random, true) + " the cat";
    const std::vector<int32_t> ids = back->encode(text), expected = tokenizer->encode(text);
    other += ids != expected;
    ASSERT_EQ(back->decode(ids), tokenizer->decode(expected)) << text;
  }
  // sentencepiece adds up scores in single precision, readers of tokenizer.json in double precision. If two
  // segmentations have nearly equal scores, sentencepiece and such a reader may choose differently.
  EXPECT_LE(other, GetParam() ? 0 : 6);
}

INSTANTIATE_TEST_SUITE_P(Kinds, ExportedModel, testing::Bool(),
                         [](const auto& info) { return std::string(info.param ? "bpe" : "unigram"); });
#endif

// Expects that four times the text takes at most eight times as long, plus 0.1 s, for every hard text.
void expect_linear(const Tokenizer& tokenizer) {
  auto seconds = [&](const std::string& text) {
    const std::clock_t start = std::clock();
    const std::vector<int32_t> ids = tokenizer.encode(text);
    return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  };
  const std::vector<HardText> shorter = hard_texts(1 << 16), longer = hard_texts(1 << 18);
  for (size_t i = 0; i < longer.size(); ++i)
    EXPECT_LT(seconds(longer[i].text), 8 * seconds(shorter[i].text) + 0.1)
        << tokenizer.spec() << ": " << longer[i].name;
}

// A byte-level tokenizer.json with LLaMA 3's pattern and a few merges.
std::string llama3_json() {
  Json json = Json::parse(tokenizer_files(*make_tokenizer("bytes"), 64).at("tokenizer.json"));
  json["pre_tokenizer"] = Json::parse(R"--({"type": "Sequence", "pretokenizers": [
    {"type": "Split", "behavior": "Isolated", "invert": false, "pattern": {"Regex":
     "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
    {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]})--");
  Json& model = json["model"];
  for (const auto& [left, right] :
       std::vector<std::pair<std::string, std::string>>{{"a", "a"}, {"aa", "aa"}, {"\u0120", "\u0120"}, {"1", "2"}}) {
    const size_t id = model["vocab"].size();
    model["vocab"][left + right] = id;
    model["merges"].push_back({left, right});
  }
  return json.dump();
}

TEST(HardText, TakesLinearTime) {
  expect_linear(*make_tokenizer("bytes"));
  TemporaryFolder made;
  made.write("tokenizer.json", llama3_json());
  const auto llama3 = make_tokenizer("huggingface:" + (made / "tokenizer.json"));
  EXPECT_EQ(llama3->encode("aaaa  a12"), (std::vector<int32_t>{258, ' ', ' ', 'a', 260}));
  expect_linear(*llama3);
  for (bool bpe : {true, false})
    if (const std::string model = trained(bpe); !model.empty()) expect_linear(*ModelFile(model).open());
  ROWAN_SHARED_OR_SKIP(folder, "corpora/tokenizers");
  expect_linear(*make_tokenizer("gpt2:" + (folder / "gpt2").string()));
#ifdef ROWAN_SENTENCEPIECE
  expect_linear(*make_tokenizer("sentencepiece:" + (folder / "t5/spiece.model").string()));
#endif
}

}  // namespace
}  // namespace rowan

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <zlib.h>
#ifdef ROWAN_SENTENCEPIECE
#include <sentencepiece_processor.h>
#endif

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "random_text.h"
#include "shared_files.h"
#include "temporary_folder.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> split(const std::string& text, const std::string& mark) {
  std::vector<std::string> parts;
  for (size_t at = 0;;) {
    size_t end = text.find(mark, at);
    parts.push_back(text.substr(at, end == std::string::npos ? end : end - at));
    if (end == std::string::npos) return parts;
    at = end + mark.size();
  }
}

std::vector<int32_t> numbers(const std::string& line) {
  std::istringstream in(line);
  std::vector<int32_t> ids;
  for (int32_t id; in >> id;) ids.push_back(id);
  return ids;
}

// Reads the lines of a gzip file, each a list of ids.
std::vector<std::vector<int32_t>> read_golden(const fs::path& path) {
  gzFile file = gzopen(path.c_str(), "rb");
  std::string text;
  char buffer[65536];
  for (int got; (got = gzread(file, buffer, sizeof buffer)) > 0;) text.append(buffer, got);
  gzclose(file);
  std::vector<std::vector<int32_t>> lines;
  for (const std::string& line : split(text, "\n")) lines.push_back(numbers(line));
  if (lines.back().empty()) lines.pop_back();
  return lines;
}

std::vector<std::string> c4_documents(const fs::path& path) {
  std::vector<std::string> documents;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) documents.push_back(nlohmann::json::parse(line)["text"]);
  return documents;
}

std::string message_of(const std::string& spec) {
  try {
    make_tokenizer(spec);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

void expect_golden(const Tokenizer& tokenizer, const fs::path& documents_file, const fs::path& golden_file) {
  auto documents = c4_documents(documents_file);
  auto golden = read_golden(golden_file);
  ASSERT_EQ(documents.size(), 300u);
  ASSERT_EQ(golden.size(), 300u);
  for (size_t i = 0; i < documents.size(); ++i)
    EXPECT_EQ(tokenizer.encode(documents[i]), golden[i]) << "document " << i;
}

TEST(Tokenizer, BytesAreThemselves) {
  auto tokenizer = make_tokenizer("bytes");
  EXPECT_EQ(tokenizer->vocab_size(), 257);
  EXPECT_EQ(tokenizer->end_id(), 256);
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  auto ids = tokenizer->encode(all);
  ASSERT_EQ(ids.size(), 256u);
  for (int i = 0; i < 256; ++i) EXPECT_EQ(ids[i], i);
  ids.push_back(256);
  EXPECT_EQ(tokenizer->decode(ids), all);
  EXPECT_THROW(tokenizer->decode(std::vector<int32_t>{257}), Error);
}

TEST(Tokenizer, MistakesNameTheSpec) {
  EXPECT_NE(message_of("gtp2:x").find("did you mean 'gpt2'"), std::string::npos);
  EXPECT_EQ(message_of("gpt2").find("did you mean"), std::string::npos) << "a file is missing, not the kind";
  EXPECT_NE(message_of("gpt2:/no/such").find("/no/such"), std::string::npos);
  EXPECT_NE(message_of("sentencepiece:/no/such").find("/no/such"), std::string::npos);
  EXPECT_NE(message_of("gpt2").find("gpt2:FILE"), std::string::npos);
}

// A pipe without a writer would be waited for.
TEST(Tokenizer, APipeIsRefusedAtOnce) {
  TemporaryFolder folder;
  const std::string pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  for (const char* kind : {"gpt2:", "sentencepiece:", "huggingface:"})
    EXPECT_NE(message_of(kind + pipe).find("pipe"), std::string::npos) << kind;
}

TEST(Tokenizer, AFileOfAnotherKindGetsAHint) {
  TemporaryFolder folder;
  const std::string json = folder.write("tokenizer.json", "{}"),
                    model = folder.write("spiece.model", "\n\x0e\n\x05<unk>"),
                    ranks = folder.write("a.tiktoken", "IQ== 0\n");
  auto hint = [](const std::string& spec) {
    const std::string message = message_of(spec);
    return message.substr(std::min(message.find("; did you mean"), message.size()));
  };
  for (const char* kind : {"gpt2:", "sentencepiece:"})
    EXPECT_EQ(hint(kind + json), "; did you mean huggingface:" + json + "?");
  for (const char* kind : {"gpt2:", "huggingface:"})
    EXPECT_EQ(hint(kind + model), "; did you mean sentencepiece:" + model + "?");
  for (const char* kind : {"sentencepiece:", "huggingface:"})
    EXPECT_EQ(hint(kind + ranks), "; did you mean gpt2:" + ranks + "?");
  const std::string here = folder / "";
  EXPECT_EQ(hint("gpt2:" + here), "; did you mean huggingface:" + here + "?");
  for (const std::string& right :
       {"huggingface:" + json, "sentencepiece:" + model, "gpt2:" + ranks, "gpt2:" + json + "x"})
    EXPECT_EQ(hint(right), "") << right;
}

TEST(Tokenizer, FindsTheFirstInvalidByte) {
  EXPECT_EQ(first_invalid_utf8("plain ascii of some length"), 26u);
  EXPECT_EQ(first_invalid_utf8("é中😀"), 9u);
  for (const char* bad : {"\x80", "\xc0\x80", "\xc3", "\xe0\x9f\x80", "\xed\xa0\x80", "\xf0\x8f\x80\x80",
                          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe4\xb8"})
    EXPECT_EQ(first_invalid_utf8("0123456789" + std::string(bad)), 10u) << bad;
}

TEST(Tokenizer, RefusesInvalidUtf8WhenAsked) {
  auto keep = make_tokenizer("bytes"), refuse = make_tokenizer("bytes", InvalidUtf8::refuse);
  EXPECT_EQ(keep->decode(keep->encode("ab\xff")), "ab\xff");
  try {
    refuse->encode("ab\xff");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "text is not UTF-8: byte 0xff at offset 2");
  }
}

TEST(Tokenizer, AWrongIdOfGpt2IsNamed) {
  TemporaryFolder folder;
  const ByteAlphabet alphabet;
  Json vocabulary = Json::object();
  for (int byte = 0; byte < 256; ++byte) vocabulary[alphabet.encode(std::string(1, static_cast<char>(byte)))] = byte;
  vocabulary["<|endoftext|>"] = 256;
  folder.write("merges.txt", "#version: 0.2\n");
  auto error = [&](const Json& id) -> std::string {
    Json changed = vocabulary;
    if (!id.is_null()) changed["zz"] = id;
    folder.write("vocab.json", changed.dump());
    try {
      make_tokenizer("gpt2:" + (folder / ""));
    } catch (const Error& refused) {
      return refused.what();
    }
    return "";
  };
  EXPECT_EQ(error(Json()), "");
  const std::string file = folder / "vocab.json: ";
  EXPECT_EQ(error(1000), file + "token 'zz': found id 1000, expected 0 to 257");
  EXPECT_EQ(error("x"), file + "token 'zz': found id \"x\", expected 0 to 257");
  EXPECT_EQ(error('A'), file + "found the tokens 'A' and 'zz' with id 65, expected one token for an id");
}

class Gpt2 : public ::testing::Test {
 protected:
  void SetUp() override {
    file_ = shared_file("corpora/tokenizers/gpt2/gpt2.tiktoken");
    if (file_.empty()) GTEST_SKIP() << "needs corpora/tokenizers/gpt2 from the folder named by ROWAN_SHARED";
    tokenizer_ = make_tokenizer("gpt2:" + file_.string());
  }
  fs::path file_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_F(Gpt2, BothFormsOfTheVocabularyAreTheSame) {
  auto folder = make_tokenizer("gpt2:" + file_.parent_path().string());
  EXPECT_EQ(tokenizer_->vocab_size(), 50257);
  EXPECT_EQ(tokenizer_->end_id(), 50256);
  EXPECT_EQ(folder->hash(), tokenizer_->hash());
  for (const char* name : {"vocab.bpe", "encoder.json"})
    EXPECT_EQ(make_tokenizer("gpt2:" + (file_.parent_path() / name).string())->hash(), tokenizer_->hash()) << name;
}

TEST_F(Gpt2, TheNamesOfTransformersWillDo) {
  TemporaryFolder folder;
  folder.write("merges.txt", read_file(file_.parent_path() / "vocab.bpe"));
  folder.write("vocab.json", read_file(file_.parent_path() / "encoder.json"));
  for (const char* name : {"", "merges.txt", "vocab.json"})
    EXPECT_EQ(make_tokenizer("gpt2:" + (folder / name))->hash(), tokenizer_->hash()) << name;
}

TEST_F(Gpt2, BytesOfATokenAreThoseOfItsText) {
  const std::string text = "Hello world, caf\u00e9 \U0001f600";
  int64_t bytes = 0;
  for (int32_t id : tokenizer_->encode(text)) bytes += tokenizer_->token_bytes(id);
  EXPECT_EQ(bytes, static_cast<int64_t>(text.size()));
  EXPECT_EQ(tokenizer_->token_bytes(50256), 0);
}

TEST_F(Gpt2, PublishedVectors) {
  std::string base = (file_.parent_path() / "ggml-vocab-gpt-2.gguf").string();
  auto inputs = split(read_file(base + ".inp"), "\n__ggml_vocab_test__\n");
  auto outputs = split(read_file(base + ".out"), "\n");
  ASSERT_GE(inputs.size(), 46u);
  for (size_t i = 0; i < 46; ++i) EXPECT_EQ(tokenizer_->encode(inputs[i]), numbers(outputs[i])) << "vector " << i;
}

TEST_F(Gpt2, C4Documents) {
  expect_golden(*tokenizer_, shared_file("corpora/c4/c4_demo_300docs.jsonl"),
                shared_file("corpora/goldens/gpt2_c4_demo_300docs.ids.gz"));
}

TEST_F(Gpt2, EveryTokenEncodesToItself) {
  for (int32_t id = 0; id < 50256; ++id) {
    std::string text = tokenizer_->decode(std::vector<int32_t>{id});
    EXPECT_EQ(tokenizer_->decode(tokenizer_->encode(text)), text);
  }
  EXPECT_EQ(tokenizer_->encode("<|endoftext|>").size(), 7u);
}

TEST_F(Gpt2, DecodingGivesBackAnyBytes) {
  Random random(1, 0);
  for (int i = 0; i < 20000; ++i) {
    std::string text = random_text(random, i % 2 == 0);
    ASSERT_EQ(tokenizer_->decode(tokenizer_->encode(text)), text) << "text " << i;
  }
}

TEST_F(Gpt2, ALongRunIsNotQuadratic) {
  std::string text(1'000'000, 'x');
  auto ids = tokenizer_->encode(text);
  EXPECT_EQ(tokenizer_->decode(ids), text);
  EXPECT_LT(ids.size(), text.size() / 4);
}

TEST(Sentencepiece, C4DocumentsOfT5) {
  ROWAN_SHARED_OR_SKIP(model, "corpora/tokenizers/t5/spiece.model");
  if (message_of("sentencepiece:" + model.string()).find("this build has no") != std::string::npos)
    GTEST_SKIP() << "built without sentencepiece";
  auto tokenizer = make_tokenizer("sentencepiece:" + model.string());
  EXPECT_EQ(tokenizer->vocab_size(), 32000);
  EXPECT_EQ(tokenizer->end_id(), 1);
  expect_golden(*tokenizer, shared_file("corpora/c4/c4_demo_300docs.jsonl"),
                shared_file("corpora/goldens/t5_sentencepiece0197_c4_demo_300docs.ids.gz"));
  EXPECT_THROW(tokenizer->encode("ab\xff"), Error);
  EXPECT_EQ(tokenizer->decode(std::vector<int32_t>{3, 9, 3, 115}), "a b");
}

#ifdef ROWAN_SENTENCEPIECE
// Rowan searches word by word, sentencepiece over the whole document. Both must give the same ids.
TEST(Sentencepiece, WordsGiveWhatTheLibraryGives) {
  ROWAN_SHARED_OR_SKIP(model, "corpora/tokenizers/t5/spiece.model");
  auto tokenizer = make_tokenizer("sentencepiece:" + model.string());
  sentencepiece::SentencePieceProcessor library;
  ASSERT_TRUE(library.Load(model.string()).ok());
  auto expect_same = [&](const std::string& text) {
    std::vector<int> expected;
    ASSERT_TRUE(library.Encode(text, &expected).ok());
    ASSERT_EQ(tokenizer->encode(text), std::vector<int32_t>(expected.begin(), expected.end())) << text.substr(0, 200);
  };
  Random random(5, 0);
  for (int i = 0; i < 3000; ++i) expect_same(random_text(random, true) + " " + random_text(random, true));
  expect_same(read_file(shared_file("corpora/text/wikitext2_valid.txt")).substr(0, 300'000));
}
#endif

}  // namespace
}  // namespace rowan

// Mutations of JSON lines, gzip and zstd streams and vocabulary files: each ends with an Error or a result, and no
// record is lost without a trace. ROWAN_FUZZ_SECONDS makes each test longer (default 2).
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <functional>

#include "base/error.h"
#include "data/gpt2.h"
#include "data/tokenize_batch.h"
#include "data/tokenize_job.h"
#include "shared_files.h"
#include "text_files.h"

namespace rowan {
namespace {

// Calls one(random) with a new seed until the time is over.
void repeat(const std::function<void(Random&)>& one) {
  const char* text = std::getenv("ROWAN_FUZZ_SECONDS");
  auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(text ? std::atof(text) : 2.0);
  for (uint64_t seed = 0; std::chrono::steady_clock::now() < end; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed, 77);
    one(random);
    if (testing::Test::HasFatalFailure()) return;
  }
}

// Flips, inserts, removes, repeats or cuts, a few times.
std::string mutate(std::string bytes, Random& random) {
  for (uint64_t n = 1 + random.below(4); n > 0; --n) {
    size_t at = random.below(bytes.size() + 1), length = std::min<size_t>(random.below(9), bytes.size() - at);
    switch (random.below(6)) {
      case 0:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
        break;
      case 1:
        if (at < bytes.size()) bytes[at] = static_cast<char>(random.below(256));
        break;
      case 2:
        bytes.insert(at, 1 + random.below(4), static_cast<char>(random.below(256)));
        break;
      case 3:
        bytes.erase(at, length);
        break;
      case 4:
        bytes.insert(at, bytes.substr(at, length));
        break;
      case 5:
        if (random.below(4) == 0) bytes.resize(at);
        break;
    }
  }
  return bytes;
}

TEST(FuzzText, JsonLines) {
  auto tokenizer = make_tokenizer("bytes");
  std::string good =
      random_json_lines(9, 5) + "{\"text\": \"\\ud83d\\ude00 \\u0000 \\n\", \"n\": [1, {\"a\": null}]}\n";
  repeat([&](Random& random) {
    RawBatch raw;
    raw.json = true;
    raw.bytes = mutate(good, random);
    for (size_t at = 0; at < raw.bytes.size(); raw.ends.push_back(at))
      at = std::min(raw.bytes.find('\n', at), raw.bytes.size() - 1) + 1;
    TokenizedBatch batch = tokenize_batch(raw, "text", false, *tokenizer, shard::EndPlace::after);
    ASSERT_EQ(batch.documents.size() + batch.skipped.size(), raw.ends.size());
    size_t tokens = 0;
    for (const TokenizedDocument& document : batch.documents) tokens += document.tokens;
    ASSERT_EQ(tokens, batch.ids.size());
  });
}

// What a damaged stream gives is an Error, or the bytes as they were (a mutation that changes nothing of them).
void check_stream(const std::string& name, const std::string& packed, const std::string& text) {
  TemporaryFolder folder;
  repeat([&](Random& random) {
    std::string mutated = mutate(packed, random);
    std::string path = folder.write(name, mutated);
    std::string found;
    try {
      RawReader reader({path}, TextFormat::by_name, TextSplit::file);
      for (RawBatch batch; reader.next(batch);) found += batch.bytes;
    } catch (const Error&) {
      return;
    }
    // The head of a gzip member may hold anything; its content is protected by a checksum.
    ASSERT_EQ(found, text);
  });
}

TEST(FuzzText, Gzip) {
  std::string text = random_json_lines(4, 20);
  check_stream("a.json.gz", gzip(text), text);
}

TEST(FuzzText, Zstd) {
  // Without its optional checksum a zstd frame may decode to other bytes: only the ends are checked.
  TemporaryFolder folder;
  std::string packed = zstd(random_json_lines(4, 20));
  repeat([&](Random& random) {
    std::string path = folder.write("a.jsonl.zst", mutate(packed, random));
    try {
      RawReader reader({path}, TextFormat::by_name, TextSplit::file);
      size_t records = 0;
      for (RawBatch batch; reader.next(batch);) records += batch.ends.size();
      ASSERT_LT(records, 10'000'000u);
    } catch (const Error&) {
    }
  });
}

TEST(FuzzText, VocabularyFiles) {
  TemporaryFolder folder;
  std::string small;
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (int byte = 0; byte < 256; ++byte)
    small += std::string{digits[byte >> 2], digits[(byte & 3) << 4]} + "== " + std::to_string(byte) + "\n";
  small += "YWI= 256\nYWJj 257\n";
  Gpt2Tokenizer expected(read_gpt2_vocabulary(folder.write("good", small)), InvalidUtf8::keep);
  EXPECT_EQ(expected.encode("xabcab"), (std::vector<int32_t>{'x', 257, 256}));
  repeat([&](Random& random) {
    std::string path = folder.write("a.tiktoken", mutate(small, random));
    try {
      Gpt2Tokenizer tokenizer(read_gpt2_vocabulary(path), InvalidUtf8::keep);
      ASSERT_EQ(tokenizer.decode(tokenizer.encode("some abc text")), "some abc text");
    } catch (const Error&) {
    }
  });
}

TEST(FuzzText, EncoderJson) {
  TemporaryFolder folder;
  std::string small = "{\"!\": 0, \"<|endoftext|>\": 1}";
  folder.write("vocab.bpe", "#version: 0.2\n\u0120 t\n");
  repeat([&](Random& random) {
    folder.write("encoder.json", mutate(small, random));
    EXPECT_THROW(read_gpt2_vocabulary(folder / "."), Error);
  });
}

TEST(FuzzText, SentencepieceModel) {
  ROWAN_SHARED_OR_SKIP(model, "corpora/tokenizers/t5/spiece.model");
  TemporaryFolder folder;
  std::string good = read_file(model);
  repeat([&](Random& random) {
    // Most of the damage near the start, where the structure is.
    std::string bytes = mutate(good.substr(0, 4000), random) + good.substr(4000);
    std::string path = folder.write("a.model", random.below(2) == 0 ? bytes : mutate(good, random));
    try {
      make_tokenizer("sentencepiece:" + path)->encode("some text");
    } catch (const Error&) {
    }
  });
}

}  // namespace
}  // namespace rowan

#include "tokenizer/tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/files.h"
#include "base/names.h"
#include "tokenizer/gpt2.h"
#include "tokenizer/huggingface.h"
#include "tokenizer/sentencepiece.h"
#include "tokenizer/utf8.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

class ByteTokenizer : public Tokenizer {
 public:
  explicit ByteTokenizer(InvalidUtf8 invalid) {
    invalid_ = invalid;
    vocab_size_ = 257;
    end_id_ = 256;
    hash_ = hash64("bytes");
  }

  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<int32_t>& ids) const override {
    if (invalid_ == InvalidUtf8::refuse) refuse_invalid_utf8(text);
    for (char c : text) ids.push_back(static_cast<unsigned char>(c));
  }

  std::string decode(std::span<const int32_t> ids) const override {
    std::string text;
    for (int32_t id : ids) {
      check_id(id);
      if (id != end_id_) text += static_cast<char>(id);
    }
    return text;
  }
};

// The kind of tokenizer that a file or folder probably holds, by names and the first byte; "" if neither tells. A pipe
// is not opened, because that could wait for ever.
std::string probable_kind(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    if (fs::exists(path / "tokenizer.json", ignored)) return "huggingface";
    return fs::exists(path / "vocab.json", ignored) || fs::exists(path / "encoder.json", ignored) ? "gpt2" : "";
  }
  if (!fs::is_regular_file(path, ignored)) return "";
  std::ifstream file(path);
  const int first = file.get();
  const fs::path name = path.filename();
  if (first == '{') return name == "encoder.json" || name == "vocab.json" ? "gpt2" : "huggingface";
  if (first == 0x0a) return "sentencepiece";  // the first field of a model
  const bool vocabulary = name.extension() == ".tiktoken" || name == "vocab.bpe" || name == "merges.txt";
  return file && vocabulary ? "gpt2" : "";
}

std::unique_ptr<Tokenizer> make_from_file(const std::string& kind, const std::string& file, InvalidUtf8 invalid) {
  try {
    if (kind == "gpt2") return std::make_unique<Gpt2Tokenizer>(read_gpt2_vocabulary(file), invalid);
    return kind == "sentencepiece" ? make_sentencepiece(file) : make_huggingface(file);
  } catch (const Error& error) {
    const std::string probable = probable_kind(file);
    if (probable.empty() || probable == kind) throw;
    fail("{}; did you mean {}:{}?", error.what(), probable, file);
  }
}

}  // namespace

int64_t Tokenizer::token_bytes(int32_t id) const {
  // Decoding may drop a space at the start of a text. The second of two equal ids keeps its space, so only the second
  // id is counted.
  const int32_t twice[] = {id, id};
  return static_cast<int64_t>(decode(twice).size()) - static_cast<int64_t>(decode({twice, 1}).size());
}

void Tokenizer::check_id(int32_t id) const {
  if (id < 0 || id >= vocab_size_) fail("{}: found id {}, expected 0 to {}", spec_, id, vocab_size_ - 1);
}

std::unique_ptr<Tokenizer> make_tokenizer(const std::string& spec, InvalidUtf8 invalid) {
  size_t colon = spec.find(':');
  std::string kind = spec.substr(0, colon), file = colon == std::string::npos ? "" : spec.substr(colon + 1);
  std::unique_ptr<Tokenizer> tokenizer;
  if (spec == "bytes") {
    tokenizer = std::make_unique<ByteTokenizer>(invalid);
  } else if ((kind == "gpt2" || kind == "sentencepiece" || kind == "huggingface") && !file.empty()) {
    tokenizer = make_from_file(kind, file, invalid);
  } else {
    const std::vector<std::string> kinds = {"bytes", "gpt2", "sentencepiece", "huggingface"};
    const bool known = std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
    fail("tokenizer: found '{}', expected bytes, gpt2:FILE, sentencepiece:FILE or huggingface:FILE{}", spec,
         known ? "" : did_you_mean(kind, kinds));
  }
  tokenizer->spec_ = spec;
  return tokenizer;
}

}  // namespace rowan

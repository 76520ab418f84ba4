#include "tokenizer/sentencepiece.h"

#include <algorithm>
#include <atomic>
#include <climits>
#include <string>
#include <unordered_map>

#include "base/error.h"
#include "base/files.h"
#include "tokenizer/unigram.h"
#include "tokenizer/utf8.h"

#ifdef ROWAN_SENTENCEPIECE
#include <sentencepiece_processor.h>
#endif

namespace rowan {

#ifdef ROWAN_SENTENCEPIECE
namespace {

class SentencepieceTokenizer : public Tokenizer {
 public:
  explicit SentencepieceTokenizer(const std::filesystem::path& file) {
    std::string model = read_file(file);
    auto status = processor_.LoadFromSerializedProto(model);
    if (model.empty() || !status.ok()) fail("{}: no sentencepiece model: {}", file.string(), status.ToString());
    vocab_size_ = processor_.GetPieceSize();
    end_id_ = processor_.eos_id();
    if (end_id_ < 0) fail("{}: the model has no end token </s>", file.string());
    prepare_words();
    Hash64 hash;
    hash.add("sentencepiece");
    hash.add(model);
    hash_ = hash.value();
  }

  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<int32_t>& ids) const override {
    refuse_invalid_utf8(text);
    if (text.size() > INT_MAX / 2)
      fail("sentencepiece: a document of {} bytes; at most {} are allowed", text.size(), INT_MAX / 2);
    if (by_words_)
      encode_words(text, ids);
    else
      encode_whole(text, ids);
  }

  std::string decode(std::span<const int32_t> ids) const override {
    for (int32_t id : ids) check_id(id);
    std::string text;
    auto status = processor_.Decode(std::vector<int>(ids.begin(), ids.end()), &text);
    if (!status.ok()) fail("sentencepiece: {}", status.ToString());
    return text;
  }

 private:
  // Forms of words that are not plain ASCII which a thread remembers.
  static constexpr size_t most_remembered = 1 << 16;

  sentencepiece::SentencePieceProcessor processor_;
  UnigramModel unigram_;
  bool by_words_ = false;
  const uint64_t instance_ = ++instances;
  static inline std::atomic<uint64_t> instances = 0;

  void encode_whole(std::string_view text, std::vector<int32_t>& ids) const {
    thread_local std::vector<int> pieces;
    auto status = processor_.Encode({text.data(), text.size()}, &pieces);
    if (!status.ok()) fail("sentencepiece: {}", status.ToString());
    ids.insert(ids.end(), pieces.begin(), pieces.end());
  }

  // The search by words is taken where it gives what the library gives: for unigram models without oddities.
  void prepare_words() {
    std::string text;
    std::vector<UnigramModel::Piece> pieces;
    for (int id = 0; id < vocab_size_; ++id) {
      if (processor_.IsUnknown(id) || processor_.IsControl(id) || processor_.IsUnused(id) || processor_.IsByte(id))
        continue;
      const std::string& piece = processor_.IdToPiece(id);
      pieces.push_back({piece, id, processor_.GetScore(id)});
      bool begins_word = piece.starts_with(word_mark);
      if (begins_word) text.push_back(id % 7 == 0 ? '\n' : ' ');
      text.append(piece, begins_word ? word_mark.size() : 0);
    }
    unigram_ = UnigramModel(std::move(pieces), processor_.unk_id());
    if (!unigram_.divides_at_words()) return;
    text += "  odd\t{white}\r\n \u00a0 space\u200b, \u0001 \uff21\u00b4x \u00bd \u2581 e\u0301 \U0001f600\U0001f601 ";
    std::vector<int32_t> whole, words;
    encode_whole(text, whole);
    encode_words(text, words);
    by_words_ = whole == words;
  }

  void encode_words(std::string_view text, std::vector<int32_t>& ids) const {
    thread_local std::string normalized;
    float score = 0;
    auto is_space = [](char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; };
    for (size_t at = 0; at < text.size();) {
      size_t end = at;
      bool plain = true;  // printable ASCII stays as it is
      for (; end < text.size() && !is_space(text[end]); ++end) plain &= text[end] > ' ' && text[end] < 0x7f;
      std::string_view word = text.substr(at, end - at);
      at = end + 1;
      if (word.empty()) continue;
      if (!plain) {
        unigram_.search(normalize(word), score, ids);
        continue;
      }
      normalized = word_mark;
      normalized += word;
      unigram_.search(normalized, score, ids);
    }
  }

  // A word as the model's normalization leaves it, with its mark: the pieces that the library finds, put together.
  const std::string& normalize(std::string_view word) const {
    struct Hash {
      using is_transparent = void;
      size_t operator()(std::string_view word) const { return std::hash<std::string_view>()(word); }
    };
    thread_local uint64_t owner = 0;
    thread_local std::unordered_map<std::string, std::string, Hash, std::equal_to<>> remembered;
    if (owner != instance_ || remembered.size() > most_remembered) remembered.clear();
    owner = instance_;
    auto found = remembered.find(word);
    if (found != remembered.end()) return found->second;
    std::vector<std::string> pieces;
    auto status = processor_.Encode({word.data(), word.size()}, &pieces);
    if (!status.ok()) fail("sentencepiece: {}", status.ToString());
    std::string& normalized = remembered[std::string(word)];
    for (const std::string& piece : pieces) normalized += piece;
    return normalized;
  }
};

}  // namespace

std::unique_ptr<Tokenizer> make_sentencepiece(const std::filesystem::path& file) {
  return std::make_unique<SentencepieceTokenizer>(file);
}
#else
std::unique_ptr<Tokenizer> make_sentencepiece(const std::filesystem::path& file) {
  fail("sentencepiece:{}: this build has no sentencepiece; install libsentencepiece-dev and configure again",
       file.string());
}
#endif

}  // namespace rowan

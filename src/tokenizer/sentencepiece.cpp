#include "tokenizer/sentencepiece.h"

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>
#include <string>
#include <unordered_map>

#include "base/error.h"
#include "base/files.h"
#include "tokenizer/charsmap.h"
#include "tokenizer/pair_merges.h"
#include "tokenizer/sentencepiece_model.h"
#include "tokenizer/unigram.h"
#include "tokenizer/utf8.h"

#ifdef ROWAN_SENTENCEPIECE
#include <sentencepiece_processor.h>
#endif

namespace rowan {

#ifdef ROWAN_SENTENCEPIECE
namespace {

using Type = SentencepieceModel::Type;

SentencepieceModel checked_model(std::string_view bytes, const std::filesystem::path& file) {
  try {
    return read_sentencepiece_model(bytes);
  } catch (const Error& error) {
    fail("{}: not a sentencepiece model: {}", file.string(), error.what());
  }
}

class SentencepieceTokenizer : public Tokenizer {
 public:
  explicit SentencepieceTokenizer(const std::filesystem::path& file) {
    const std::string bytes = read_file(file);
    model_ = checked_model(bytes, file);
    auto status = processor_.LoadFromSerializedProto(bytes);
    if (!status.ok()) fail("{}: not a sentencepiece model: {}", file.string(), status.ToString());
    vocab_size_ = processor_.GetPieceSize();
    end_id_ = processor_.eos_id();
    if (end_id_ < 0) fail("{}: found no end token </s> in the model", file.string());
    charsmap_ = Charsmap(model_.charsmap);
    prepare();
    Hash64 hash;
    hash.add("sentencepiece");
    hash.add(bytes);
    hash_ = hash.value();
  }

  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<int32_t>& ids) const override {
    refuse_invalid_utf8(text);
    if (text.size() > INT_MAX / 2)
      fail("sentencepiece: found a document of {} bytes, expected at most {}", text.size(), INT_MAX / 2);
    switch (search_) {
      case Search::words:
        return encode_words(text, ids);
      case Search::merges:
        return encode_merges(text, ids);
      case Search::library:
        return encode_in_library(text, ids);
    }
  }

  int64_t token_bytes(int32_t id) const override {
    check_id(id);
    const SentencepieceModel::Piece& piece = model_.pieces[static_cast<size_t>(id)];
    if (piece.type == Type::byte) return 1;
    if (piece.type != Type::normal && piece.type != Type::user_defined) return 0;
    auto bytes = static_cast<int64_t>(piece.text.size());
    for (size_t at = 0; (at = piece.text.find(word_mark, at)) != std::string::npos; at += word_mark.size())
      bytes -= static_cast<int64_t>(word_mark.size()) - 1;  // a word mark decodes to one space
    return bytes;
  }

  std::string decode(std::span<const int32_t> ids) const override {
    for (int32_t id : ids) check_id(id);
    std::string text;
    auto status = processor_.Decode(std::vector<int>(ids.begin(), ids.end()), &text);
    if (!status.ok()) fail("sentencepiece: {}", status.ToString());
    return text;
  }

 private:
  // The library takes quadratic time on documents with much text that is unknown to the model. Therefore encode()
  // searches word by word (Search::words, Search::merges) if prepare() finds that this is possible.
  enum class Search { words, merges, library };

  SentencepieceModel model_;
  sentencepiece::SentencePieceProcessor processor_;
  Charsmap charsmap_;
  UnigramModel<float> unigram_;
  PairMerges merges_;
  std::unordered_map<std::string, int32_t> symbols_;  // ids of one-character pieces
  std::array<int32_t, 256> byte_ids_ = {};
  Search search_ = Search::library;

  void encode_in_library(std::string_view text, std::vector<int32_t>& ids) const {
    thread_local std::vector<int> pieces;
    auto status = processor_.Encode({text.data(), text.size()}, &pieces);
    if (!status.ok()) fail("sentencepiece: {}", status.ToString());
    ids.insert(ids.end(), pieces.begin(), pieces.end());
  }

  // Chooses a fast search if the model allows one. The search must also give the library's result on the probe, a text
  // that contains every normal piece.
  void prepare() {
    if (model_.space_is_suffix || !model_.add_dummy_prefix || !model_.escape_whitespaces) return;
    std::string probe;
    std::vector<UnigramModel<float>::Piece> pieces;
    float lowest = 0;
    std::vector<std::pair<std::string, float>> scored(model_.pieces.size());
    for (size_t i = 0; i < model_.pieces.size(); ++i) {
      const SentencepieceModel::Piece& piece = model_.pieces[i];
      if (piece.type == Type::user_defined || piece.type == Type::unused) return;
      if (piece.type != Type::normal) continue;
      const auto id = static_cast<int32_t>(i);
      lowest = pieces.empty() ? piece.score : std::min(lowest, piece.score);
      pieces.push_back({piece.text, id, piece.score});
      scored[i] = {piece.text, piece.score};
      const bool begins_word = piece.text.starts_with(word_mark);
      if (begins_word) probe.push_back(id % 7 == 0 ? '\n' : ' ');
      probe.append(piece.text, begins_word ? word_mark.size() : 0);
    }
    probe += "  odd\t{white}\r\n \u00a0 space\u200b, \u0001 \uff21\u00b4x \u00bd \u2581 e\u0301 \U0001f600\U0001f601 ";
    if (model_.kind == SentencepieceModel::Kind::unigram && model_.remove_extra_whitespaces && !model_.byte_fallback) {
      unigram_ = UnigramModel<float>(std::move(pieces), model_.unknown_id, lowest);
      if (unigram_.divides_at_words()) choose(Search::words, probe);
    } else if (model_.kind == SentencepieceModel::Kind::bpe && prepare_merges(scored)) {
      choose(Search::merges, probe);
    }
  }

  bool prepare_merges(const std::vector<std::pair<std::string, float>>& scored) {
    for (const auto& [text, score] : scored) {
      // Words are merged separately, so no piece may have a word mark after another character.
      size_t first = 0;
      while (text.compare(first, word_mark.size(), word_mark) == 0) first += word_mark.size();
      if (text.find(word_mark, first) != std::string::npos) return false;
    }
    for (size_t i = 0; i < model_.pieces.size(); ++i) {
      const SentencepieceModel::Piece& piece = model_.pieces[i];
      if (piece.type == Type::byte) {
        const std::string hex = piece.text.substr(std::min<size_t>(3, piece.text.size()), 2);
        if (piece.text.size() != 6) return false;
        byte_ids_[std::strtoul(hex.c_str(), nullptr, 16)] = static_cast<int32_t>(i);
      } else if (piece.type == Type::normal && piece.text.size() <= 4 && is_one_character(piece.text)) {
        symbols_.emplace(piece.text, static_cast<int32_t>(i));
      }
    }
    merges_ = PairMerges(merges_of_scores(scored));
    return true;
  }

  void choose(Search search, const std::string& probe) {
    std::vector<int32_t> expected, found;
    encode_in_library(probe, expected);
    search_ = search;
    encode(probe, found);
    if (found != expected) search_ = Search::library;
  }

  static bool is_one_character(std::string_view text) {
    uint32_t code;
    size_t next;
    return read_utf8(text, 0, code, next) && next == text.size();
  }

  void encode_words(std::string_view text, std::vector<int32_t>& ids) const {
    thread_local std::string normalized;
    float score = 0;
    auto is_space = [](char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; };
    for (size_t at = 0; at < text.size();) {
      size_t end = at;
      bool plain = true;  // printable ASCII, for which normalize() is skipped
      for (; end < text.size() && !is_space(text[end]); ++end) plain &= text[end] > ' ' && text[end] < 0x7f;
      std::string_view word = text.substr(at, end - at);
      at = end + 1;
      if (plain) {
        if (word.empty()) continue;
        normalized = word_mark;
        normalized += word;
      } else {
        normalize(word, normalized);
      }
      unigram_.search(normalized, score, ids);
    }
  }

  void encode_merges(std::string_view text, std::vector<int32_t>& ids) const {
    thread_local std::string normalized;
    normalize(text, normalized);
    const size_t before = ids.size();
    for (size_t at = 0; at < normalized.size();) {
      // Find the end of the word. Word marks before a word belong to the word.
      size_t end = at;
      while (normalized.compare(end, word_mark.size(), word_mark) == 0) end += word_mark.size();
      end = std::min(normalized.find(word_mark, end), normalized.size());
      const size_t first = ids.size();
      for (uint32_t code; at < end;) {
        size_t next;
        read_utf8(normalized, at, code, next);
        const std::string symbol = normalized.substr(at, next - at);
        at = next;
        const auto found = symbols_.find(symbol);
        if (found != symbols_.end()) {
          ids.push_back(found->second);
        } else if (model_.byte_fallback) {
          for (char byte : symbol) ids.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
        } else {
          ids.push_back(model_.unknown_id);
        }
      }
      merges_.merge(ids, first);
    }
    // Consecutive unknown characters become one unknown piece.
    const auto both_unknown = [&](int32_t a, int32_t b) { return a == model_.unknown_id && a == b; };
    ids.erase(std::unique(ids.begin() + static_cast<std::ptrdiff_t>(before), ids.end(), both_unknown), ids.end());
  }

  // Normalizes as the library does: replaces characters, writes spaces as word marks, and adds a word mark before the
  // text. If the model says so, removes spaces at both ends and repeated spaces.
  void normalize(std::string_view text, std::string& result) const {
    result.clear();
    bool after_space = model_.remove_extra_whitespaces;
    for (size_t at = 0; at < text.size();) {
      Charsmap::Step step = charsmap_.step(text.substr(at));
      at += step.length;
      if (result.empty() && after_space && step.replacement == " ") continue;
      if (result.empty()) result = word_mark;
      while (after_space && step.replacement.starts_with(' ')) step.replacement.remove_prefix(1);
      if (step.replacement.empty()) continue;
      for (char c : step.replacement) c == ' ' ? result += word_mark : result += c;
      after_space = model_.remove_extra_whitespaces && step.replacement.ends_with(' ');
    }
    while (model_.remove_extra_whitespaces && result.ends_with(word_mark))
      result.resize(result.size() - word_mark.size());
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

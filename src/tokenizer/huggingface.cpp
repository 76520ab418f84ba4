#include "tokenizer/huggingface.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/names.h"
#include "tokenizer/added_in_text.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/pair_merges.h"
#include "tokenizer/text_rules.h"
#include "tokenizer/unigram.h"
#include "tokenizer/utf8.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;
using Unigram = UnigramModel<double>;

constexpr int64_t most_ids = int64_t{1} << 20;  // bounds the memory of texts_, which grows to the largest id

class HuggingFaceTokenizer : public Tokenizer {
 public:
  explicit HuggingFaceTokenizer(const fs::path& path) {
    const fs::path file = fs::is_directory(path) ? path / "tokenizer.json" : path;
    auto source = std::make_shared<const JsonSource>(JsonSource{file.string(), read_file(file)});
    const Json json = parse_json(*source);
    JsonObject root(source, json);
    root.ignore_nulls();
    rules_ = TextRules(root, "normalizer", "pre_tokenizer");
    read_added_tokens(root);
    JsonObject model = root.object("model", true);
    const std::string type = model.choice("type", {"BPE", "Unigram"}, model.has("merges") ? "BPE" : "Unigram");
    type == "BPE" ? read_bpe(model) : read_unigram(model);
    model.finish();
    check_added_ids(root);
    names_.clear();
    vocab_size_ = static_cast<int32_t>(texts_.size());
    stands_for_nothing_.resize(texts_.size());
    const std::optional<int32_t> usual_end = usual_end_id();
    end_id_ = find_end(file, usual_end);
    for (const auto& [content, id] : added_) stands_for_nothing_[static_cast<size_t>(id)] = not_in_text_.contains(id);
    if (unknown_) stands_for_nothing_[static_cast<size_t>(*unknown_)] = true;
    stands_for_nothing_[static_cast<size_t>(end_id_)] = true;
    Hash64 hash;
    hash.add("huggingface");
    hash.add(source->text);
    if (end_id_ != usual_end) hash.add(fmt::format("end {}", end_id_));
    hash_ = hash.value();
  }

  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<int32_t>& ids) const override {
    refuse_invalid_utf8(text);
    if (text.size() >= INT32_MAX)
      fail("tokenizer.json: found a document of {} bytes, expected at most {}", text.size(), INT32_MAX - 1);
    // First the added tokens that are looked for in the text as it is, then those in the normalized text between them.
    raw_added_.find(text, ids, [&](size_t begin, size_t end) {
      bool keeps_start = false;
      const std::string normal = rules_.normalize(text.substr(begin, end - begin), &keeps_start);
      normalized_added_.find(normal, ids, [&](size_t from, size_t to) {
        encode_between(std::string_view(normal).substr(from, to - from), keeps_start && begin == 0 && from == 0, ids);
      });
    });
  }

  int64_t token_bytes(int32_t id) const override {
    check_id(id);
    const auto i = static_cast<size_t>(id);
    return stands_for_nothing_[i] ? 0 : static_cast<int64_t>(texts_[i].size());
  }

  std::string decode(std::span<const int32_t> ids) const override {
    std::string text;
    for (int32_t id : ids) {
      check_id(id);
      if (id != end_id_) text += texts_[static_cast<size_t>(id)];
    }
    if (rules_.adds_space() && text.starts_with(' ')) text.erase(0, 1);
    return text;
  }

 private:
  TextRules rules_;
  std::vector<std::string> texts_;                  // decoded text of every id
  std::unordered_map<int32_t, std::string> names_;  // the token of every id read so far, as the file writes it
  std::vector<bool> stands_for_nothing_;
  std::map<std::string, int32_t> added_;
  std::vector<std::pair<std::string, int32_t>> added_in_order_;
  std::map<std::string, int32_t> added_in_vocabulary_;  // the added tokens that are also tokens of the vocabulary
  size_t vocabulary_count_ = 0;
  // Special tokens, which are not recognized in text. Those that are also ordinary tokens of the model are taken out.
  std::set<int32_t> not_in_text_;
  AddedInText raw_added_, normalized_added_;
  bool unigram_model_ = false;
  Unigram unigram_;
  // Members for the BPE model. The unigram model also uses byte_fallback_, unknown_ and byte_ids_.
  std::unordered_map<std::string, int32_t> ids_;  // ids by the text of a token, or by its bytes if byte_level()
  PairMerges merges_;
  bool whole_pieces_first_ = false, joins_unknown_ = false, byte_fallback_ = false;
  std::optional<int32_t> unknown_;
  ByteIds byte_ids_ = no_bytes;

  void read_added_tokens(JsonObject& root) {
    if (!root.has("added_tokens")) return;
    for (JsonObject& token : root.objects("added_tokens")) {
      const int64_t id = token.integer("id", {}, 0, most_ids - 1);
      const std::string content = token.string("content");
      take_id(token, "id", static_cast<int32_t>(id), content);
      added_[content] = static_cast<int32_t>(id);
      added_in_order_.emplace_back(content, static_cast<int32_t>(id));
      set_text(id, content);
      if (token.boolean("special", false) || content.empty()) {
        not_in_text_.insert(static_cast<int32_t>(id));
        continue;
      }
      for (const char* key : {"single_word", "lstrip", "rstrip"})
        if (token.boolean(key, false)) token.fail(key, "found true, expected false");
      if (!token.boolean("normalized", false)) {
        raw_added_.add(content, static_cast<int32_t>(id));
      } else if (const std::string normal = rules_.normalize(content); !normal.empty()) {
        normalized_added_.add(normal, static_cast<int32_t>(id));
      }
    }
    raw_added_.finish();
    normalized_added_.finish();
  }

  // Hugging Face's tokenizers ignore the ids of the list. An added token gets the id of the vocabulary's token of the
  // same name, or else the next free id.
  void check_added_ids(const JsonObject& root) const {
    std::map<std::string, int32_t> ids = added_in_vocabulary_;
    auto next = static_cast<int32_t>(vocabulary_count_);
    for (const auto& [content, found] : added_in_order_) {
      if (content.empty()) continue;
      const int32_t expected = ids.emplace(content, next).first->second;
      if (found != expected)
        root.fail("added_tokens", fmt::format("'{}': found id {}, expected {}, which Hugging Face's tokenizers give it",
                                              content, found, expected));
      next = std::max(next, expected + 1);
    }
  }

  // Notes a token of the vocabulary. Returns whether it is also an added token that is recognized in text.
  bool take_token(const JsonObject& model, int32_t id, const std::string& name) {
    take_id(model, "vocab", id, name);
    ++vocabulary_count_;
    if (!added_.contains(name)) return false;
    added_in_vocabulary_[name] = id;
    return !not_in_text_.contains(id);
  }

  // Notes the token of an id. An added token may repeat a token of the vocabulary.
  void take_id(const JsonObject& place, const char* key, int32_t id, const std::string& name) {
    const std::string& first = names_.emplace(id, name).first->second;
    if (first != name)
      place.fail(
          key, fmt::format("found the tokens '{}' and '{}' with id {}, expected one token for an id", first, name, id));
  }

  void set_text(int64_t id, std::string text) {
    if (texts_.size() <= static_cast<size_t>(id)) texts_.resize(static_cast<size_t>(id) + 1);
    texts_[static_cast<size_t>(id)] = std::move(text);
  }

  // Parses the name of a byte's token, such as "<0x0A>".
  static std::optional<unsigned char> byte_of(const std::string& token) {
    unsigned value = 0;
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return {};
    std::from_chars(token.data() + 3, token.data() + 5, value, 16);
    return token == fmt::format("<0x{:02X}>", value) ? std::optional(static_cast<unsigned char>(value)) : std::nullopt;
  }

  // Sets the text of a piece. Word marks become spaces. If the model has byte fallback, "<0x0A>" becomes the byte.
  void set_piece(int64_t id, const std::string& piece) {
    if (const auto byte = byte_of(piece); byte && byte_fallback_)
      return set_text(id, std::string(1, static_cast<char>(*byte)));
    std::string text = piece;
    for (size_t at; (at = text.find(word_mark)) != std::string::npos;) text.replace(at, word_mark.size(), " ");
    set_text(id, text);
  }

  void read_bpe(JsonObject& model) {
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
      if (!model.string(key, "").empty()) model.fail(key, "found a text, expected an empty one");
    if (model.number("dropout", 0) != 0)
      model.fail("dropout", fmt::format("found {}, expected 0, because Rowan encodes a text in only one way",
                                        model.number("dropout")));
    byte_fallback_ = model.boolean("byte_fallback", false);
    joins_unknown_ = model.boolean("fuse_unk", false);
    whole_pieces_first_ = model.boolean("ignore_merges", false);
    const ByteAlphabet alphabet;
    const Json& vocabulary = model.raw("vocab");
    if (!vocabulary.is_object()) model.fail("vocab", "expected an object of tokens and ids");
    for (const auto& [token, id] : vocabulary.items()) {
      if (!id.is_number_unsigned() || id.get<uint64_t>() >= static_cast<uint64_t>(most_ids))
        model.fail("vocab", fmt::format("token '{}': found id {}, expected 0 to {}", token, id.dump(), most_ids - 1));
      const auto number = id.get<int32_t>();
      const auto bytes = rules_.byte_level() ? alphabet.decode(token) : std::nullopt;
      const bool recognized = take_token(model, number, token);
      if (!recognized)
        bytes || rules_.byte_level() ? set_text(number, bytes.value_or(token)) : set_piece(number, token);
      if (rules_.byte_level() && !bytes) continue;  // no text becomes this token
      const std::string& text = bytes ? *bytes : token;
      ids_.emplace(text, number);
      if (rules_.byte_level() ? text.size() == 1 : is_one_character(text)) not_in_text_.erase(number);
      if (const auto byte = byte_of(token)) byte_ids_[*byte] = number;
    }
    if (model.has("unk_token")) unknown_ = unknown_of(model, vocabulary, model.string("unk_token"));
    if (byte_fallback_)
      for (int byte = 0; byte < 256; ++byte)
        if (byte_ids_[static_cast<size_t>(byte)] == no_id) no_token(model, "vocab", fmt::format("<0x{:02X}>", byte));
    if (rules_.byte_level())
      for (int byte = 0; byte < 256; ++byte)
        if (in_utf8(byte) && !ids_.contains(std::string(1, static_cast<char>(byte))))
          model.fail("vocab", fmt::format("found no token for the byte 0x{:02X}", byte));
    read_merges(model, alphabet);
  }

  // Some published vocabularies lack the bytes that no UTF-8 text has.
  static bool in_utf8(int byte) { return byte != 0xc0 && byte != 0xc1 && byte < 0xf5; }

  static bool is_one_character(const std::string& text) {
    uint32_t code;
    size_t next;
    return !text.empty() && read_utf8(text, 0, code, next) && next == text.size();
  }

  int32_t unknown_of(const JsonObject& model, const Json& vocabulary, const std::string& token) const {
    if (vocabulary.contains(token)) return vocabulary[token].get<int32_t>();
    const auto added = added_.find(token);
    if (added == added_.end()) no_token(model, "unk_token", token);
    return added->second;
  }

  [[noreturn]] static void no_token(const JsonObject& model, const char* key, const std::string& token) {
    model.fail(key, fmt::format("found no token '{}' in the vocabulary", token));
  }

  // A merge is "left right" or ["left", "right"]; its rank is its place in the list.
  void read_merges(JsonObject& model, const ByteAlphabet& alphabet) {
    const Json& list = model.raw("merges");
    if (!list.is_array()) model.fail("merges", "expected a list");
    std::vector<PairMerge> merges;
    for (const Json& entry : list) {
      std::string left, right;
      if (entry.is_string()) {
        const auto& text = entry.get_ref<const std::string&>();
        const size_t space = text.find(' ', 1);
        if (space == std::string::npos)
          model.fail("merges", fmt::format("found '{}', expected a pair of tokens", text));
        left = text.substr(0, space), right = text.substr(space + 1);
      } else if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string()) {
        left = entry[0], right = entry[1];
      } else {
        model.fail("merges", fmt::format("found {}, expected a pair of tokens", entry.dump()));
      }
      if (rules_.byte_level() && !alphabet.decode(left + right)) continue;  // no text has these parts
      auto id = [&](const std::string& token) {
        const auto found = ids_.find(rules_.byte_level() ? *alphabet.decode(token) : token);
        if (found == ids_.end()) no_token(model, "merges", token);
        return found->second;
      };
      merges.push_back({id(left), id(right), static_cast<int32_t>(merges.size()), id(left + right)});
      not_in_text_.erase(merges.back().id);
    }
    merges_ = PairMerges(merges);
  }

  void read_unigram(JsonObject& model) {
    unigram_model_ = true;
    byte_fallback_ = model.boolean("byte_fallback", false);
    const int64_t unknown = model.has("unk_id") ? model.integer("unk_id", {}, 0, most_ids) : no_id;
    const Json& vocabulary = model.raw("vocab");
    std::vector<Unigram::Piece> pieces;
    std::unordered_set<std::string> seen;
    double lowest = std::numeric_limits<double>::infinity();
    if (!vocabulary.is_array()) model.fail("vocab", "expected a list of pieces and scores");
    for (const Json& entry : vocabulary) {
      if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number())
        model.fail("vocab", fmt::format("found {}, expected a piece and its score", entry.dump()));
      const auto& piece = entry[0].get_ref<const std::string&>();
      const auto id = static_cast<int32_t>(&entry - &vocabulary[0]);
      if (!piece.empty() && !seen.insert(piece).second)
        model.fail("vocab", fmt::format("found the piece '{}' twice, expected it once", piece));
      const bool recognized = take_token(model, id, piece);
      if (piece.size() > Unigram::longest_piece)
        model.fail("vocab",
                   fmt::format("found a piece of {} bytes, expected at most {}", piece.size(), Unigram::longest_piece));
      lowest = std::min(lowest, entry[1].get<double>());
      if (const auto byte = byte_of(piece); byte && byte_fallback_) byte_ids_[*byte] = id;
      // Without its piece a character would be lost, so it stays a piece where it is also a special token. A longer
      // special token, such as </s>, has no place in text, which is spelled with other pieces.
      if (is_one_character(piece)) not_in_text_.erase(id);
      const bool in_text = id != unknown && !piece.empty() && !not_in_text_.contains(id);
      if (in_text) pieces.push_back({piece, id, entry[1].get<double>()});
      if (!recognized) in_text ? set_piece(id, piece) : set_text(id, piece);
    }
    if (unknown >= static_cast<int64_t>(vocabulary.size())) model.fail("unk_id", "found an id outside the vocabulary");
    if (unknown != no_id) unknown_ = static_cast<int32_t>(unknown);
    unigram_ = Unigram(std::move(pieces), unknown_.value_or(no_id), lowest, byte_ids_);
  }

  void encode_between(std::string_view normal, bool at_start, std::vector<int32_t>& ids) const {
    for (const std::string& piece : rules_.divide(normal, at_start))
      unigram_model_ ? encode_unigram(piece, ids) : encode_bpe(piece, ids);
  }

  void encode_unigram(const std::string& piece, std::vector<int32_t>& ids) const {
    double score = 0;
    unigram_.search(piece, score, ids);
  }

  void encode_bpe(const std::string& piece, std::vector<int32_t>& ids) const {
    if (whole_pieces_first_)
      if (const auto whole = ids_.find(piece); whole != ids_.end()) return ids.push_back(whole->second);
    const size_t first = ids.size();
    bool after_unknown = false;
    for (size_t at = 0, next; at < piece.size(); at = next) {
      uint32_t code;
      if (rules_.byte_level() || !read_utf8(piece, at, code, next)) next = at + 1;
      const std::string symbol = piece.substr(at, next - at);
      const auto found = ids_.find(symbol);
      const bool known = found != ids_.end();
      if (known) {
        ids.push_back(found->second);
      } else if (byte_fallback_) {
        for (char byte : symbol) ids.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
      } else if (unknown_ && !(joins_unknown_ && after_unknown)) {
        ids.push_back(*unknown_);
      }
      after_unknown = !known && !byte_fallback_;
    }
    merges_.merge(ids, first);
  }

  // The end token that is used if no tokenizer_config.json names an end token.
  std::optional<int32_t> usual_end_id() const {
    for (const char* name : {"<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "[EOS]", "<|end|>", "[SEP]"})
      if (const auto found = added_.find(name); found != added_.end()) return found->second;
    return {};
  }

  int32_t find_end(const fs::path& file, const std::optional<int32_t>& usual) const {
    const fs::path config = file.parent_path() / "tokenizer_config.json";
    if (fs::exists(config)) {
      const Json json = parse_json({config.string(), read_file(config)});
      const Json token = json.is_object() && json.contains("eos_token") ? json["eos_token"] : Json();
      const Json& name = token.is_object() && token.contains("content") ? token["content"] : token;
      if (name.is_string()) {
        const auto found = added_.find(name.get<std::string>());
        if (found != added_.end()) return found->second;
        fail("{}: eos_token: '{}' is not an added token of {}", config.string(), name.get<std::string>(),
             file.string());
      }
    }
    if (usual) return *usual;
    std::vector<std::string> names;
    for (const auto& [name, id] : added_) names.push_back(name);
    fail("{}: no end token: name it as eos_token in {} (added tokens: {})", file.string(), config.string(),
         join(names));
  }
};

}  // namespace

std::unique_ptr<Tokenizer> make_huggingface(const fs::path& path) {
  return std::make_unique<HuggingFaceTokenizer>(path);
}

}  // namespace rowan

// Makes Hugging Face's tokenizer files, tokenizer.json and tokenizer_config.json.
#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "run/export.h"
#include "tokenizer/base64.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/gpt2.h"
#include "tokenizer/pair_merges.h"
#include "tokenizer/sentencepiece_model.h"
#include "tokenizer/unigram.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;
using Type = SentencepieceModel::Type;

const char* const end_of_text = "<|endoftext|>";

Json special_token(int32_t id, const std::string& content) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

Json byte_level(bool divides) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", divides}};
}

Json replaced(const Json& pattern, const std::string& content) {
  return {{"type", "Replace"}, {"pattern", pattern}, {"content", content}};
}

Json sequence(const char* key, Json steps) { return {{"type", "Sequence"}, {key, std::move(steps)}}; }

// Applies all merges of lower rank than `rank` to the token's bytes. Returns the two parts that remain, which the last
// merge of the token joins. Returns nothing if more or fewer than two parts remain.
std::optional<std::pair<int32_t, int32_t>> parts_of(const PairMerges& merges, const std::string& token, int32_t rank,
                                                    const std::vector<int32_t>& byte_ids) {
  std::vector<int32_t> ids;
  for (char c : token) ids.push_back(byte_ids[static_cast<unsigned char>(c)]);
  merges.merge(ids, 0, rank);
  if (ids.size() != 2) return {};
  return std::pair(ids[0], ids[1]);
}

// A byte-level BPE tokenizer. tokens[id] holds the bytes of token `id`. Merges into tokens of lower ids come first. The
// end token is not in `tokens`, and its id is tokens.size(). If `merges_pieces` is false, no merges are written, and
// text is not divided into pieces.
Json byte_tokenizer(const std::vector<std::string>& tokens, bool merges_pieces) {
  const ByteAlphabet alphabet;
  Json vocabulary = Json::object(), merges = Json::array();
  std::vector<int32_t> byte_ids(256);
  for (size_t id = 0; id < tokens.size(); ++id) {
    vocabulary[alphabet.encode(tokens[id])] = id;
    if (tokens[id].size() == 1) byte_ids[static_cast<unsigned char>(tokens[id][0])] = static_cast<int32_t>(id);
  }
  const auto end = static_cast<int32_t>(tokens.size());
  vocabulary[end_of_text] = end;
  std::vector<std::pair<std::string, float>> scored;
  for (size_t id = 0; merges_pieces && id < tokens.size(); ++id)
    scored.emplace_back(tokens[id], -static_cast<float>(id));
  std::vector<PairMerge> all = merges_of_scores(scored);
  // Several pairs may merge into the same token. If the earlier merges turn the token's bytes into exactly two parts,
  // only the pair of these two parts is written. Otherwise all pairs that merge into the token are written.
  const PairMerges known(all);
  for (size_t begin = 0, next; begin < all.size(); begin = next) {
    next = begin + 1;
    while (next < all.size() && all[next].id == all[begin].id) ++next;
    const std::string& token = tokens[static_cast<size_t>(all[begin].id)];
    std::vector<PairMerge> ways(all.begin() + static_cast<std::ptrdiff_t>(begin),
                                all.begin() + static_cast<std::ptrdiff_t>(next));
    if (ways.size() > 1)
      if (const auto parts = parts_of(known, token, ways[0].rank, byte_ids))
        ways = {{parts->first, parts->second, ways[0].rank, ways[0].id}};
    for (const PairMerge& way : ways)
      merges.push_back({alphabet.encode(tokens[static_cast<size_t>(way.left)]),
                        alphabet.encode(tokens[static_cast<size_t>(way.right)])});
  }
  return {{"added_tokens", Json::array({special_token(end, end_of_text)})},
          {"normalizer", nullptr},
          {"pre_tokenizer", byte_level(merges_pieces)},
          {"post_processor", nullptr},
          {"decoder", byte_level(true)},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", ""},
            {"end_of_word_suffix", ""},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"vocab", vocabulary},
            {"merges", merges}}}};
}

Json unigram_model(const SentencepieceModel& model) {
  Json vocabulary = Json::array();
  for (const SentencepieceModel::Piece& piece : model.pieces) vocabulary.push_back({piece.text, piece.score});
  return {
      {"type", "Unigram"}, {"unk_id", model.unknown_id}, {"vocab", vocabulary}, {"byte_fallback", model.byte_fallback}};
}

Json bpe_model(const SentencepieceModel& model) {
  Json vocabulary = Json::object(), merges = Json::array();
  std::vector<std::pair<std::string, float>> scored(model.pieces.size());
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const SentencepieceModel::Piece& piece = model.pieces[id];
    vocabulary[piece.text] = id;
    if (piece.type == Type::normal) scored[id] = {piece.text, piece.score};
  }
  for (const PairMerge& merge : merges_of_scores(scored))
    merges.push_back({scored[static_cast<size_t>(merge.left)].first, scored[static_cast<size_t>(merge.right)].first});
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", model.pieces[static_cast<size_t>(model.unknown_id)].text},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", true},
          {"byte_fallback", model.byte_fallback},
          {"ignore_merges", false},
          {"vocab", vocabulary},
          {"merges", merges}};
}

Json sentencepiece_tokenizer(const SentencepieceModel& model) {
  if (model.kind != SentencepieceModel::Kind::unigram && model.kind != SentencepieceModel::Kind::bpe)
    fail("tokenizer.json cannot express a sentencepiece model of words or characters");
  if (model.space_is_suffix || !model.escape_whitespaces)
    fail(
        "tokenizer.json cannot express a sentencepiece model with treat_whitespace_as_suffix or without "
        "escape_whitespaces");
  const bool unigram = model.kind == SentencepieceModel::Kind::unigram;
  const std::string mark(word_mark);
  Json added = Json::array(), steps = Json::array();
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const SentencepieceModel::Piece& piece = model.pieces[id];
    // sentencepiece keeps a user-defined piece whole without ending the text before it, and never gives an unused one.
    if (piece.type == Type::user_defined || piece.type == Type::unused)
      fail("tokenizer.json cannot express user-defined and unused pieces: found the piece '{}' with id {}", piece.text,
           id);
    if (piece.type == Type::control || piece.type == Type::unknown)
      added.push_back(special_token(static_cast<int32_t>(id), piece.text));
  }
  if (!model.charsmap.empty())
    steps.push_back({{"type", "Precompiled"}, {"precompiled_charsmap", encode_base64(model.charsmap)}});
  if (model.remove_extra_whitespaces) {
    // Only U+0020 is removed; Hugging Face's Strip would remove line breaks and tabs, too.
    steps.push_back(replaced({{"Regex", "\\A +"}}, ""));
    steps.push_back(replaced({{"Regex", " {2,}"}}, " "));
  }
  // Not Metaspace's prefix, which is left out before a text that begins with a word mark.
  if (model.add_dummy_prefix) steps.push_back({{"type", "Prepend"}, {"prepend", mark}});
  steps.push_back(replaced({{"String", " "}}, mark));
  // At the end sentencepiece also removes word marks that the text had itself.
  if (model.remove_extra_whitespaces) steps.push_back(replaced({{"Regex", mark + "+\\z"}}, ""));
  Json result = {{"added_tokens", added}};
  result["normalizer"] = sequence("normalizers", steps);
  if (unigram && model.remove_extra_whitespaces && !model.byte_fallback) {
    Json metaspace = {{"type", "Metaspace"}, {"replacement", mark}, {"prepend_scheme", "never"}, {"split", true}};
    result["pre_tokenizer"] = metaspace;
    if (model.add_dummy_prefix) metaspace["prepend_scheme"] = "always";
    result["decoder"] = metaspace;
  } else {  // the text is not split at spaces
    result["pre_tokenizer"] = nullptr;
    Json decoders = {replaced({{"String", mark}}, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}};
    if (model.add_dummy_prefix) decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
    result["decoder"] = sequence("decoders", decoders);
  }
  result["post_processor"] = nullptr;
  result["model"] = unigram ? unigram_model(model) : bpe_model(model);
  return result;
}

// A copy of the tokenizer.json, without the parts that add tokens around a text, truncate it or pad it.
Json huggingface_tokenizer(const fs::path& path) {
  const fs::path file = fs::is_directory(path) ? path / "tokenizer.json" : path;
  Json json = parse_json({file.string(), read_file(file)});
  json["post_processor"] = json["truncation"] = json["padding"] = nullptr;
  return json;
}

}  // namespace

ExportFiles tokenizer_files(const Tokenizer& tokenizer, int64_t longest) {
  const std::string& spec = tokenizer.spec();
  const size_t colon = spec.find(':');
  const std::string kind = spec.substr(0, colon), file = colon == std::string::npos ? "" : spec.substr(colon + 1);
  Json json;
  std::string end = end_of_text;
  if (kind == "bytes") {
    std::vector<std::string> bytes;
    for (int byte = 0; byte < 256; ++byte) bytes.emplace_back(1, static_cast<char>(byte));
    json = byte_tokenizer(bytes, false);
  } else if (kind == "gpt2") {
    json = byte_tokenizer(read_gpt2_vocabulary(file), true);
  } else if (kind == "sentencepiece") {
    const SentencepieceModel model = read_sentencepiece_model(read_file(file));
    json = sentencepiece_tokenizer(model);
    end = model.pieces[static_cast<size_t>(tokenizer.end_id())].text;
  } else {
    json = huggingface_tokenizer(file);
    for (const Json& token : json["added_tokens"])
      if (token["id"] == tokenizer.end_id()) end = token["content"];
  }
  Json ordered = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  ordered.update(json);
  const Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                       {"bos_token", end},
                       {"eos_token", end},
                       {"pad_token", end},
                       {"model_max_length", longest},
                       {"clean_up_tokenization_spaces", false}};
  return {{"tokenizer.json", ordered.dump(1) + "\n"}, {"tokenizer_config.json", config.dump(2) + "\n"}};
}

}  // namespace rowan

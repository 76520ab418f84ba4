// Tokens that the list of added tokens and the vocabulary of a tokenizer.json share, and vocabularies of bytes. The
// expected ids are from the package tokenizers 0.23.3 with encode_special_tokens, which does not recognize special
// tokens in text.
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/json.h"
#include "error_of.h"
#include "text_files.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tokenizer.h"

namespace rowan {
namespace {

using Ids = std::vector<int32_t>;

Json added_token(int32_t id, const std::string& content, bool special) {
  return {{"id", id}, {"content", content}, {"special", special}};
}

// A BPE over all bytes, whose ids are their values. The merged tokens follow from id 256 on, then <|endoftext|>.
Json byte_bpe(const std::vector<std::pair<std::string, std::string>>& merges) {
  const ByteAlphabet alphabet;
  Json vocabulary = Json::object(), list = Json::array();
  for (int byte = 0; byte < 256; ++byte) vocabulary[alphabet.encode(std::string(1, static_cast<char>(byte)))] = byte;
  for (const auto& [left, right] : merges) {
    const size_t id = vocabulary.size();
    vocabulary[alphabet.encode(left + right)] = id;
    list.push_back(Json::array({alphabet.encode(left), alphabet.encode(right)}));
  }
  const auto end = static_cast<int32_t>(vocabulary.size());
  vocabulary["<|endoftext|>"] = end;
  return {{"added_tokens", Json::array({added_token(end, "<|endoftext|>", true)})},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
          {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", list}}}};
}

Json unigram_model(const Json& pieces) {
  return {{"added_tokens", Json::array({added_token(0, "<unk>", true), added_token(1, "</s>", true)})},
          {"pre_tokenizer", {{"type", "Metaspace"}, {"prepend_scheme", "first"}}},
          {"model", {{"type", "Unigram"}, {"unk_id", 0}, {"vocab", pieces}}}};
}

std::unique_ptr<Tokenizer> opened_json(const Json& json) {
  TemporaryFolder folder;
  folder.write("tokenizer.json", json.dump());
  return make_tokenizer("huggingface:" + (folder / "tokenizer.json"));
}

std::string refusal(const Json& json) {
  const std::string message = rowan::error_of([&] { opened_json(json); });
  return message.substr(std::min(message.find("tokenizer.json"), message.size()));
}

TEST(AddedTokens, SpecialTokensMayBeTokensOfText) {
  Json json = byte_bpe({{"h", "i"}, {" ", "!"}});
  json["added_tokens"].push_back(added_token('!', "!", true));
  json["added_tokens"].push_back(added_token(256, "hi", true));
  const auto tokenizer = opened_json(json);
  EXPECT_EQ(tokenizer->encode("wow! a!b !c"), (Ids{'w', 'o', 'w', '!', ' ', 'a', '!', 'b', 257, 'c'}));
  EXPECT_EQ(tokenizer->encode("hi!"), (Ids{256, '!'}));
  EXPECT_EQ(tokenizer->decode(Ids{256, '!', 257}), "hi! !");
  EXPECT_EQ(tokenizer->token_bytes('!'), 1);
  EXPECT_EQ(tokenizer->token_bytes(256), 2);
  EXPECT_EQ(tokenizer->token_bytes(258), 0) << "<|endoftext|>";
}

// The line break is the token of its byte, 10, and that of the list, 259. Merges are of the former.
TEST(AddedTokens, MergesAreOfTheVocabulary) {
  Json json = byte_bpe({{"h", "i"}, {"\n", "\n"}});
  json["added_tokens"].push_back(added_token(259, "\n", true));
  EXPECT_EQ(opened_json(json)->encode("hi\n\n"), (Ids{256, 257}));
  EXPECT_EQ(opened_json(json)->encode("a\nb"), (Ids{'a', '\n', 'b'}));
  EXPECT_EQ(opened_json(json)->token_bytes(259), 0);
}

TEST(AddedTokens, SpecialCharactersStayPieces) {
  Json json = unigram_model(Json::parse(R"([["<unk>", 0], ["</s>", 0], ["a", -1], ["b", -2], ["ab", -2.5],
      ["\u2581", -3], ["\u2581a", -3.5], ["!", -4]])"));
  json["added_tokens"].push_back(added_token(7, "!", true));
  const auto tokenizer = opened_json(json);
  EXPECT_EQ(tokenizer->encode("a!b"), (Ids{6, 7, 3}));
  EXPECT_EQ(tokenizer->token_bytes(7), 1);
  // Other than in the package, the end token has no place in a text.
  EXPECT_EQ(tokenizer->encode("a</s>"), (Ids{6, 0}));
  EXPECT_EQ(tokenizer->token_bytes(1), 0);
}

TEST(AddedTokens, IdsAreThoseOfTheVocabularyOrTheNextFreeOnes) {
  const std::string start = "tokenizer.json:1: added_tokens: ", end = ", which Hugging Face's tokenizers give it";
  auto with = [](std::initializer_list<std::pair<int32_t, const char*>> tokens) {
    Json json = byte_bpe({{"h", "i"}});
    for (const auto& [id, content] : tokens) json["added_tokens"].push_back(added_token(id, content, false));
    return json;
  };
  EXPECT_EQ(refusal(with({{300, "<X>"}})), start + "'<X>': found id 300, expected 258" + end);
  EXPECT_EQ(refusal(with({{259, "<Y>"}, {258, "<X>"}})), start + "'<Y>': found id 259, expected 258" + end);
  EXPECT_EQ(refusal(with({{258, "<X>"}, {259, "hi"}})), start + "'hi': found id 259, expected 256" + end);
  EXPECT_EQ(refusal(with({{258, "<X>"}, {258, "<X>"}, {259, ""}, {256, "hi"}})), "");
  EXPECT_EQ(opened_json(with({{258, "<X>"}, {259, "<Y>"}}))->encode("a<Y><X>"), (Ids{'a', 259, 258}));
}

// DeepSeek's vocabularies lack the bytes that no UTF-8 has, and add tokens with the names of these bytes.
TEST(AddedTokens, BytesThatNoTextHasMayBeMissing) {
  const ByteAlphabet alphabet;
  Json json = byte_bpe({{"h", "i"}});
  Json& vocabulary = json["model"]["vocab"];
  for (int byte : {0xc0, 0xc1, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff})
    vocabulary.erase(alphabet.encode(std::string(1, static_cast<char>(byte))));
  vocabulary["<|endoftext|>"] = 192;
  json["added_tokens"][0]["id"] = 192;
  EXPECT_EQ(opened_json(json)->encode("hi \u00e9\U0001f600"), (Ids{256, ' ', 0xc3, 0xa9, 0xf0, 0x9f, 0x98, 0x80}));
  vocabulary.erase(alphabet.encode("\xf4"));
  EXPECT_EQ(refusal(json), "tokenizer.json:1: model.vocab: found no token for the byte 0xF4");
}

// Names outside the alphabet of bytes are no tokens of text, although "\n" looks like a byte.
TEST(AddedTokens, NamesOutsideTheAlphabetAreNoBytes) {
  Json json = byte_bpe({{"h", "i"}});
  int32_t id = 258;
  for (const char* name : {"\n", " ", "\u4e2d"}) json["model"]["vocab"][name] = id++;
  json["model"]["merges"].push_back(Json::array({"\n", " "}));
  const auto tokenizer = opened_json(json);
  EXPECT_EQ(tokenizer->encode("hi\n you \u4e2d"), (Ids{256, '\n', ' ', 'y', 'o', 'u', ' ', 0xe4, 0xb8, 0xad}));
  EXPECT_EQ(tokenizer->decode(Ids{258, 259, 260}), "\n \u4e2d");
}

TEST(AddedTokens, AUnigramPieceIsThereOnce) {
  EXPECT_EQ(refusal(unigram_model(Json::parse(R"([["<unk>", 0], ["</s>", 0], ["a", -1], ["b", -2], ["a", -0.1]])"))),
            "tokenizer.json:1: model.vocab: found the piece 'a' twice, expected it once");
}

}  // namespace
}  // namespace rowan

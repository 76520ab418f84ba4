// The tokenizer.json that an export makes of a sentencepiece model. The expected ids are from sentencepiece 0.2.1, and
// the package tokenizers 0.23.3 gives the same ids with the exported file, except that it recognizes "<s>".
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "error_of.h"
#include "run/export.h"
#include "text_files.h"
#include "tokenizer/tokenizer.h"

namespace rowan {
namespace {

#ifdef ROWAN_SENTENCEPIECE
using Ids = std::vector<int32_t>;

std::string message_field(int number, const std::string& bytes) {
  return std::string(1, static_cast<char>(number << 3 | 2)) + static_cast<char>(bytes.size()) + bytes;
}

// Types: 1 is a normal piece, 2 the unknown one, 3 a control piece, 4 a user-defined and 5 an unused one.
std::string piece_field(const std::string& text, float score, int type) {
  std::string bytes(sizeof score, '\0');
  std::memcpy(bytes.data(), &score, sizeof score);
  return message_field(1, message_field(1, text) + "\x15" + bytes + "\x18" + static_cast<char>(type));
}

// A model without rules of normalization, whose pieces are "▁a", "ab", "▁", "a", "b", "\n", "\t" and U+3000.
std::string plain_model(bool bpe, int type_of_last = 1) {
  std::string model = piece_field("<unk>", 0, 2) + piece_field("<s>", 0, 3) + piece_field("</s>", 0, 3);
  float score = 0;
  for (const char* text : {"\u2581a", "ab", "\u2581", "a", "b", "\n", "\t"}) model += piece_field(text, --score, 1);
  return model + piece_field("\u3000", --score, type_of_last) + message_field(2, bpe ? "\x18\x02" : "\x18\x01") +
         message_field(3, "");
}

TEST(ExportedSentencepiece, KeepsLineBreaksAndWordMarks) {
  const std::pair<const char*, Ids> both[] = {
      {"\n\na", {5, 8, 8, 6}}, {"a\tb\t", {3, 9, 7, 9}}, {"b\u3000", {5, 7, 10}},  {"\n", {5, 8}}, {"", {}}, {" ", {}},
      {"\u2581a", {5, 3}},     {"\u2581", {}},           {"a\u2581 \u2581 ", {3}}, {"<s>", {5, 0}}};
  for (bool bpe : {false, true}) {
    TemporaryFolder folder;
    const auto model = make_tokenizer("sentencepiece:" + folder.write("a.model", plain_model(bpe)));
    for (const auto& [name, content] : tokenizer_files(*model, 64)) folder.write(name, content);
    const auto back = make_tokenizer("huggingface:" + (folder / "tokenizer.json"));
    auto expect = [&](const char* text, const Ids& ids) {
      EXPECT_EQ(model->encode(text), ids) << text;
      EXPECT_EQ(back->encode(text), ids) << text;
    };
    for (const auto& [text, ids] : both) expect(text, ids);
    expect("ab a\nb\n", bpe ? Ids{3, 7, 3, 8, 7, 8} : Ids{5, 4, 3, 8, 7, 8});
    expect("  ab  a ", bpe ? Ids{3, 7, 3} : Ids{5, 4, 3});
  }
}

TEST(ExportedSentencepiece, UserDefinedAndUnusedPiecesAreRefused) {
  for (bool bpe : {false, true})
    for (int type : {4, 5}) {
      TemporaryFolder folder;
      const auto model = make_tokenizer("sentencepiece:" + folder.write("a.model", plain_model(bpe, type)));
      EXPECT_EQ(rowan::error_of([&] { tokenizer_files(*model, 64); }),
                "tokenizer.json cannot express user-defined and unused pieces: found the piece '\u3000' with id 10");
    }
}
#endif

}  // namespace
}  // namespace rowan

// Reads the file of a sentencepiece model (github.com/google/sentencepiece, sentencepiece_model.proto): the fields on
// which tokens depend. The library checks little of a model that it loads, so the model is checked here first.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rowan {

struct SentencepieceModel {
  enum class Kind : uint8_t { unigram = 1, bpe = 2, word = 3, character = 4 };
  enum class Type : uint8_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };
  struct Piece {
    std::string text;
    float score = 0;
    Type type = Type::normal;
  };

  std::vector<Piece> pieces;  // pieces by id
  Kind kind = Kind::unigram;
  bool byte_fallback = false, space_is_suffix = false;
  int32_t unknown_id = -1;
  std::string charsmap;  // replacement table (charsmap.h)
  bool add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;
};

// Throws Error saying what is wrong, for example: a truncated message, an unknown type, text that is not UTF-8, a score
// that is not finite, or a damaged replacement table.
SentencepieceModel read_sentencepiece_model(std::string_view bytes);

}  // namespace rowan

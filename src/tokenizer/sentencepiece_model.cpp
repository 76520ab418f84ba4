#include "tokenizer/sentencepiece_model.h"

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "tokenizer/charsmap.h"
#include "tokenizer/utf8.h"

namespace rowan {
namespace {

constexpr size_t longest_piece = 1024;  // in bytes

// One field of a protocol buffer message (protobuf.dev/programming-guides/encoding).
struct Field {
  uint64_t number = 0, integer = 0;
  std::string_view bytes;
};

class Message {
 public:
  explicit Message(std::string_view bytes) : bytes_(bytes) {}

  bool next(Field& field) {
    if (bytes_.empty()) return false;
    const uint64_t key = varint();
    field = {key >> 3, 0, {}};
    switch (key & 7) {
      case 0:
        field.integer = varint();
        return true;
      case 1:
        return fixed(field, 8);
      case 2:
        field.bytes = take(varint());
        return true;
      case 5:
        return fixed(field, 4);
      default:
        fail("field {} has the unknown wire type {}", field.number, key & 7);
    }
  }

 private:
  std::string_view bytes_;

  std::string_view take(uint64_t count) {
    if (count > bytes_.size()) fail("truncated: found {1} bytes, expected {0}", count, bytes_.size());
    const std::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return taken;
  }
  bool fixed(Field& field, size_t count) {
    field.bytes = take(count);
    std::memcpy(&field.integer, field.bytes.data(), count);
    return true;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    fail("found a number of more than ten bytes");
  }
};

SentencepieceModel::Piece read_piece(std::string_view bytes) {
  SentencepieceModel::Piece piece;
  Message message(bytes);
  for (Field field; message.next(field);) {
    if (field.number == 1) piece.text = field.bytes;
    if (field.number == 2) {
      const auto bits = static_cast<uint32_t>(field.integer);
      std::memcpy(&piece.score, &bits, sizeof bits);
    }
    if (field.number == 3) {
      if (field.integer < 1 || field.integer > 6)
        fail("piece '{}': found the unknown type {}", piece.text, field.integer);
      piece.type = static_cast<SentencepieceModel::Type>(field.integer);
    }
  }
  if (piece.text.empty() || piece.text.size() > longest_piece)
    fail("found a piece of {} bytes, expected 1 to {}", piece.text.size(), longest_piece);
  if (first_invalid_utf8(piece.text) != piece.text.size()) fail("found a piece that is not UTF-8");
  // The library's tables take a zero byte for the end of a piece, and an empty piece ends the process.
  if (piece.text.find('\0') != std::string::npos) fail("found a piece with a zero byte");
  if (!std::isfinite(piece.score))
    fail("piece '{}': found the score {}, expected a finite score", piece.text, piece.score);
  return piece;
}

void read_trainer(std::string_view bytes, SentencepieceModel& model) {
  Message message(bytes);
  for (Field field; message.next(field);) {
    if (field.number == 3) {
      if (field.integer < 1 || field.integer > 4) fail("found the unknown kind {}", field.integer);
      model.kind = static_cast<SentencepieceModel::Kind>(field.integer);
    }
    if (field.number == 24) model.space_is_suffix = field.integer != 0;
    if (field.number == 35) model.byte_fallback = field.integer != 0;
  }
}

void read_normalizer(std::string_view bytes, SentencepieceModel& model) {
  Message message(bytes);
  for (Field field; message.next(field);) {
    if (field.number == 2) model.charsmap = field.bytes;
    if (field.number == 3) model.add_dummy_prefix = field.integer != 0;
    if (field.number == 4) model.remove_extra_whitespaces = field.integer != 0;
    if (field.number == 5) model.escape_whitespaces = field.integer != 0;
  }
}

}  // namespace

SentencepieceModel read_sentencepiece_model(std::string_view bytes) {
  SentencepieceModel model;
  Message message(bytes);
  for (Field field; message.next(field);) {
    if (field.number == 1) {
      model.pieces.push_back(read_piece(field.bytes));
      if (model.pieces.back().type != SentencepieceModel::Type::unknown) continue;
      if (model.unknown_id >= 0) fail("found two unknown pieces, {} and {}", model.unknown_id, model.pieces.size() - 1);
      model.unknown_id = static_cast<int32_t>(model.pieces.size()) - 1;
    }
    if (field.number == 2) read_trainer(field.bytes, model);
    if (field.number == 3) read_normalizer(field.bytes, model);
    if (field.number == 5) {  // rules for decoding
      SentencepieceModel other;
      read_normalizer(field.bytes, other);
      Charsmap check(other.charsmap);
    }
  }
  if (model.pieces.empty()) fail("found no pieces");
  if (model.unknown_id < 0) fail("found no unknown piece");
  Charsmap check(model.charsmap);
  return model;
}

}  // namespace rowan

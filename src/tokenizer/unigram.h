// The search of a sentencepiece unigram model: finds the segmentation whose pieces have the highest sum of log
// probabilities (Kudo 2018, "Subword regularization", section 3.3).
//
// A caller may search word by word, which is exact if no piece crosses the start of a word. The score may be carried
// from word to word. The type `Score` is the type that the original program uses, so that ties are broken in the same
// way: float for the sentencepiece library, double for Hugging Face's tokenizers.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rowan {

// The character U+2581, which sentencepiece writes in place of a space.
inline constexpr std::string_view word_mark = "\xe2\x96\x81";

// The id of each byte's piece; no_id if the byte has none.
using ByteIds = std::array<int32_t, 256>;
constexpr int32_t no_id = -1;
constexpr ByteIds no_bytes = [] {
  ByteIds ids{};
  ids.fill(no_id);
  return ids;
}();

template <typename Score>
class UnigramModel {
 public:
  struct Piece {
    std::string text;
    int32_t id;
    Score score;
  };
  // Largest length of a piece in bytes. A model with a longer piece stays empty and must not be searched.
  static constexpr size_t longest_piece = 1024;

  UnigramModel() = default;
  // `pieces` are the pieces that may occur in text. `unknown` is the id for a character that is not a piece itself, or
  // no_id if the model has none.
  // `lowest` is the lowest score of a piece; the score of `unknown` is ten less. If `bytes` has a piece for each byte
  // of consecutive unknown characters, these pieces replace `unknown`.
  UnigramModel(std::vector<Piece> pieces, int32_t unknown, Score lowest, const ByteIds& bytes = no_bytes);

  // Whether no piece crosses the start of a word and the word mark itself is a piece, so that each word may be searched
  // separately.
  bool divides_at_words() const { return divides_at_words_; }
  // Appends the ids of the best segmentation. Consecutive unknown characters become one id, or the pieces of their
  // bytes. `word` is normalized UTF-8 with word marks in place of spaces. `score` is the sum over all earlier words;
  // search() adds the score of `word` to it. Without an id for unknown characters, throws Error naming the first
  // character that would be the best choice as an unknown one at its place, even if a later piece covers it.
  void search(std::string_view word, Score& score, std::vector<int32_t>& ids) const;

 private:
  // A double-array trie (Aoe 1989). The child of a node for a byte is the cell at `base` + byte, if the `parent` of
  // this cell is the node.
  struct Cell {
    int32_t base = 0, parent = -1;
    int32_t id = no_id;  // id of the piece that ends here
    Score score = 0;
  };
  static constexpr int32_t root = 0;

  void grow(const std::vector<Piece>& sorted, size_t begin, size_t end, size_t depth, int32_t node);
  void add_unknown_backwards(std::string_view characters, std::vector<int32_t>& ids) const;

  std::vector<Cell> cells_;
  size_t search_from_ = 1;  // where the search for free cells begins, during construction
  int32_t unknown_ = 0;
  Score unknown_score_ = 0;
  ByteIds bytes_ = no_bytes;
  bool divides_at_words_ = false;
};

}  // namespace rowan

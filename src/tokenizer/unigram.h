// The search of a sentencepiece unigram model (Kudo 2018, "Subword regularization", section 3.3: the division of a text
// whose pieces have the highest sum of log probabilities), a word at a time.
//
// No piece crosses the start of a word, so the search can go word by word; carrying the score from word to word in
// single precision, as the library does, gives its result to the last rounded tie.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rowan {

// The mark for white space that begins every word, U+2581.
inline constexpr std::string_view word_mark = "\xe2\x96\x81";

class UnigramModel {
 public:
  struct Piece {
    std::string text;
    int32_t id;
    float score;
  };
  // In bytes; real models have tens. A model with a longer piece is treated as empty.
  static constexpr size_t longest_piece = 1024;

  UnigramModel() = default;
  // `pieces` may occur in text; `unknown` is the id of a character outside all pieces, whose score is that of the
  // rarest piece minus ten.
  UnigramModel(std::vector<Piece> pieces, int32_t unknown);

  // Whether no piece spans the start of a word, so that the search may go word by word.
  bool divides_at_words() const { return divides_at_words_; }
  // Appends the ids of the best segmentation; consecutive unknown characters become one. `word` is UTF-8 after the
  // model's normalization, with its mark. `score` is the score of all earlier words, and is updated.
  void search(std::string_view word, float& score, std::vector<int32_t>& ids) const;

 private:
  // A double-array trie (Aoe 1989): the child of a node by a byte is cell base + byte, if that cell names the node as
  // parent.
  struct Cell {
    int32_t base = 0, parent = -1;
    int32_t id = -1;  // id of the piece that ends here
    float score = 0;
  };
  static constexpr int32_t root = 0;

  void grow(const std::vector<Piece>& sorted, size_t begin, size_t end, size_t depth, int32_t node);

  std::vector<Cell> cells_;
  size_t search_from_ = 1;  // where the search for free cells begins, during construction
  int32_t unknown_ = 0;
  float unknown_score_ = 0;
  bool divides_at_words_ = false;
};

}  // namespace rowan

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

// The white space mark that begins every word, U+2581.
inline constexpr std::string_view word_mark = "\xe2\x96\x81";

class UnigramModel {
 public:
  struct Piece {
    std::string text;
    int32_t id;
    float score;
  };
  // Bytes; models have tens. With a longer one the model finds nothing.
  static constexpr size_t longest_piece = 1024;

  UnigramModel() = default;
  // The pieces that may occur in text, and the id of a character that is none of them; its score is that of the rarest
  // piece less ten.
  UnigramModel(std::vector<Piece> pieces, int32_t unknown);

  // Every word is found again by its mark, so the search may go word by word.
  bool divides_at_words() const { return divides_at_words_; }
  // Appends the ids of the best division; neighbouring unknown characters become one. `word` is UTF-8 as the model's
  // normalization leaves it, with its mark. `score` is that of all words before, and is brought up to date.
  void search(std::string_view word, float& score, std::vector<int32_t>& ids) const;

 private:
  // A trie in two arrays (Aoe 1989): the child of a node by a byte is cell base + byte, if that cell names it as
  // parent.
  struct Cell {
    int32_t base = 0, parent = -1;
    int32_t id = -1;  // of the piece that ends here
    float score = 0;
  };
  static constexpr int32_t root = 0;

  void grow(const std::vector<Piece>& sorted, size_t begin, size_t end, size_t depth, int32_t node);

  std::vector<Cell> cells_;
  size_t search_from_ = 1;  // while the trie is made
  int32_t unknown_ = 0;
  float unknown_score_ = 0;
  bool divides_at_words_ = false;
};

}  // namespace rowan

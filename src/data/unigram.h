// The search of a sentencepiece unigram model (Kudo 2018, "Subword regularization", section 3.3: the division of a text
// whose pieces have the highest sum of log probabilities), a word at a time and remembering words.
//
// The library searches a whole document at once, and most of its time goes into finding the same pieces in the same
// words again. No piece crosses the start of a word, so the search can go word by word; carrying the score from word to
// word in single precision, as the library does, gives its result to the last rounded tie.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace rowan {

// The white space mark that begins every word, U+2581.
inline constexpr std::string_view word_mark = "\xe2\x96\x81";

// All pieces that can occur in a word: the edges of its lattice from character `begin` to character `end`, by
// ascending begin and then end, so that of equal scores the first one wins.
struct WordLattice {
  struct Edge {
    uint32_t begin, end;
    int32_t id;
    float score;
  };
  uint32_t characters = 0;
  std::vector<Edge> edges;
};

class UnigramModel {
 public:
  // A piece that may occur in text. Throws nothing.
  void add(std::string piece, int32_t id, float score);
  // The id of a character that is no piece; its score is that of the rarest piece less ten.
  void set_unknown(int32_t id) { unknown_ = id; }

  // Every word is found again by its mark, so the search may go word by word.
  bool divides_at_words() const { return only_leading_marks_ && ids_.contains(std::string(word_mark)); }
  // `normalized` is UTF-8 and begins with the mark, or is empty.
  WordLattice lattice(std::string_view normalized) const;
  // Appends the ids of the best division; neighbouring unknown characters become one. `score` is that of all words
  // before, and is brought up to date.
  void search(const WordLattice& word, float& score, std::vector<int32_t>& ids) const;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  struct Piece {
    int32_t id;
    float score;
  };
  std::unordered_map<std::string, Piece, Hash, std::equal_to<>> ids_;
  int32_t unknown_ = 0;
  float lowest_ = 0;
  size_t longest_ = 0;
  bool only_leading_marks_ = true;
};

}  // namespace rowan

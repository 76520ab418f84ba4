// The embedded corpus: short English stories from the probabilistic grammar data/tales/grammar.txt. Every story has
// exactly one derivation, so its probability is known, and the entropy of the corpus is a sum over the grammar. This
// entropy is the lowest expected validation loss of a model that has not memorized the validation text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "corpus/grammar.h"

namespace rowan {

extern const char* const tales_grammar_text;

class Tales {
 public:
  // Throws Error if read_grammar() does, if a story may recall a variable before drawing it, or if a table may have no
  // row left to draw.
  explicit Tales(std::string_view grammar = tales_grammar_text);

  // Story number `index` of the infinite sequence that `seed` selects; a pure function of both.
  std::string story(uint64_t seed, uint64_t index) const;

  // -log p(story) in nats, found by parsing the story. Throws Error naming the byte at which the text stops following
  // the grammar.
  double surprise(std::string_view story) const;

  struct Expectation {
    double nats;   // entropy of a story: the mean of -log p
    double bytes;  // mean length of a story in bytes
    // The entropy per token of a stream of stories, encoded as bytes with one end token for each story. Stories are
    // independent of one another, and the text of a story determines where it ends. The end token therefore adds a
    // token but no entropy.
    double nats_per_token() const { return nats / (bytes + 1); }
  };
  // The exact expectation, summed over the grammar instead of sampled.
  const Expectation& expectation() const { return expectation_; }

 private:
  Grammar grammar_;
  Expectation expectation_;
};

}  // namespace rowan

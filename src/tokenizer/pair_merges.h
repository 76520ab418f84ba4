// Byte pair encoding over ids (Sennrich et al. 2016, "Neural machine translation of rare words with subword units"):
// repeatedly merges the adjacent pair of lowest rank, leftmost first, until no pair can be merged.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace rowan {

// One way to make a piece from two other pieces.
struct PairMerge {
  int32_t left, right;  // ids of the two parts
  int32_t rank;
  int32_t id;  // id of the merged piece
};

class PairMerges {
 public:
  PairMerges() = default;
  // If a pair appears twice, the last one counts, as in Hugging Face's tokenizers.
  explicit PairMerges(const std::vector<PairMerge>& merges);

  // Applies all merges with a rank less than `below` to ids[begin, ids.size()), in O(n log n) for n ids.
  void merge(std::vector<int32_t>& ids, size_t begin, int32_t below = INT32_MAX) const;

 private:
  struct Slot {
    uint64_t pair = UINT64_MAX;
    int32_t rank = 0, id = 0;
  };
  std::vector<Slot> slots_;  // open addressing, at most half full

  const Slot* find(int32_t left, int32_t right) const;
  size_t home(uint64_t pair) const;
};

// The merges of a sentencepiece BPE model: every way to make a piece from two other pieces, ordered by the score of the
// merged piece, highest first. Pieces of equal score share a rank, as the library merges the leftmost of their pairs
// first. `pieces` holds text and score by id.
std::vector<PairMerge> merges_of_scores(const std::vector<std::pair<std::string, float>>& pieces);

}  // namespace rowan

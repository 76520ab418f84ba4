// Byte pair encoding over ids (Sennrich et al. 2016, "Neural machine translation of rare words with subword units"): of
// all neighbours that may be merged the pair of the lowest rank is, the leftmost first, until none is left.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace rowan {

// One way to make a piece of two others.
struct PairMerge {
  int32_t left, right;  // ids
  int32_t rank;
  int32_t id;  // of the two together
};

class PairMerges {
 public:
  PairMerges() = default;
  // Of a pair that is there twice the first counts.
  explicit PairMerges(const std::vector<PairMerge>& merges);

  // Merges what can be merged in ids[begin, end) by ranks below `below`, in time n log n.
  void merge(std::vector<int32_t>& ids, size_t begin, int32_t below = INT32_MAX) const;

 private:
  struct Slot {
    uint64_t pair = UINT64_MAX;
    int32_t rank = 0, id = 0;
  };
  std::vector<Slot> slots_;  // open addressing, half empty or more

  const Slot* find(int32_t left, int32_t right) const;
  size_t home(uint64_t pair) const;
};

// All ways to make the pieces of a vocabulary (by id) of two others, where a score says which is made first: what
// sentencepiece's BPE merges, and how Hugging Face writes it down.
std::vector<PairMerge> merges_of_scores(const std::vector<std::pair<std::string, float>>& pieces);

}  // namespace rowan

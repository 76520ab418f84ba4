// A permutation of 0 .. size-1 that is computed instead of stored. It is a Feistel network over the smallest power of
// two that is at least `size` (Luby and Rackoff 1988), unbalanced if the number of bits is odd, with Philox as the
// round function. Values outside the range are scrambled again until they fall inside (cycle walking: Black and
// Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002).
#pragma once

#include <bit>
#include <cstdint>

#include "base/random.h"

namespace rowan {

class Permutation {
 public:
  // `stream` selects one of many permutations under the same key. For rows, BatchSource passes the epoch.
  Permutation(uint64_t key, uint64_t stream, uint64_t size)
      : key_(key), stream_(stream), size_(size), bits_(size > 1 ? static_cast<int>(std::bit_width(size - 1)) : 0) {}

  // The image of i < size.
  uint64_t operator()(uint64_t i) const {
    if (size_ <= 1) return i;
    // The domain is less than twice `size`, so fewer than two tries are expected.
    do i = scramble(i);
    while (i >= size_);
    return i;
  }

 private:
  static constexpr uint64_t rounds = 8;

  uint64_t scramble(uint64_t i) const {
    const int low_bits = (bits_ + 1) / 2;
    const uint64_t low_mask = (uint64_t{1} << low_bits) - 1, high_mask = (uint64_t{1} << (bits_ - low_bits)) - 1;
    uint64_t low = i & low_mask, high = i >> low_bits;
    for (uint64_t round = 0; round < rounds; round += 2) {
      low ^= draw(round, high) & low_mask;
      high ^= draw(round + 1, low) & high_mask;
    }
    return high << low_bits | low;
  }

  uint64_t draw(uint64_t round, uint64_t half) const {
    const Philox random = philox(key_, half << 8 | round, stream_);
    return static_cast<uint64_t>(random.word[1]) << 32 | random.word[0];
  }

  uint64_t key_, stream_, size_;
  int bits_;
};

}  // namespace rowan

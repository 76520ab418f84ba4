// Dropout masks. Whether an element is dropped is a pure function of rate, seed, sample, site and the element's index
// (base/random.h). The backward and a recomputation therefore draw the same mask, and so does a run with another
// micro-batch size or number of ranks. C++17, because CUDA sources include this header.
#pragma once

#include "base/random.h"
#include "kernels/model_rules.h"

namespace rowan {

struct DropoutMask {
  const int32_t* samples = nullptr;
  uint64_t seed = 0, site = 0;
  uint32_t below = 0;  // a 32-bit draw below this drops the element; 0: no dropout
  float factor = 1;

  DropoutMask() = default;
  explicit DropoutMask(const Dropout& dropout)
      : samples(dropout.samples.as<int32_t>()),
        seed(dropout.seed),
        site(static_cast<uint64_t>(dropout.site)),
        below(static_cast<uint32_t>(static_cast<double>(dropout.rate) * 4294967296.0)),
        factor(1.0f / (1.0f - dropout.rate)) {}

  ROWAN_HOST_DEVICE bool on() const { return below > 0; }

  // The number of the random stream for this site and the sample in row `row` of the micro-batch.
  ROWAN_HOST_DEVICE uint64_t stream(int64_t row) const {
    const uint64_t low = static_cast<uint32_t>(samples[2 * row]), high = static_cast<uint32_t>(samples[2 * row + 1]);
    return (high << 32 | low) << 24 | site;
  }
  // The factors of the four elements of a group. `stream` is the random stream of the group's sample.
  ROWAN_HOST_DEVICE void four(float (&factors)[4], uint64_t stream, int64_t group) const {
    const Philox draw = philox(seed, static_cast<uint64_t>(group), stream);
    for (int i = 0; i < 4; ++i) factors[i] = draw.word[i] < below ? 0.0f : factor;
  }
  // The number of the group of four elements that holds the softmax weight of `query` and `key`. Each query of a head
  // starts a new group.
  ROWAN_HOST_DEVICE static int64_t attention_group(int64_t head, int64_t query, int64_t key, int64_t seq) {
    return (head * seq + query) * ((seq + 3) / 4) + key / 4;
  }
};

}  // namespace rowan

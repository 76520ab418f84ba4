// Counter-based random numbers: philox() is a pure function of key and counter, so its results do not depend on the
// order of the calls, the thread or the rank. The generator is Philox4x32-10 of Salmon et al., "Parallel random
// numbers: as easy as 1, 2, 3" (SC 2011). C++17, because CUDA sources include this header.
#pragma once

#include <cstdint>

namespace rowan {

struct Philox {
  uint32_t word[4];
};

#if defined(__CUDACC__)
#define ROWAN_HOST_DEVICE __host__ __device__
#else
#define ROWAN_HOST_DEVICE
#endif

// 128 random bits for the given 64-bit key and 128-bit counter (two halves).
ROWAN_HOST_DEVICE inline Philox philox(uint64_t key, uint64_t counter_low, uint64_t counter_high = 0) {
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  uint32_t c0 = static_cast<uint32_t>(counter_low), c1 = static_cast<uint32_t>(counter_low >> 32);
  uint32_t c2 = static_cast<uint32_t>(counter_high), c3 = static_cast<uint32_t>(counter_high >> 32);
  for (int round = 0; round < 10; ++round) {
    uint64_t p0 = 0xD2511F53ull * c0, p1 = 0xCD9E8D57ull * c2;
    uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0, n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return Philox{{c0, c1, c2, c3}};
}

// A sequence of draws from one seed. Different values of `stream` give independent sequences.
class Random {
 public:
  Random(uint64_t seed, uint64_t stream) : key_(seed), stream_(stream) {}
  uint64_t next_u64();
  // Uniform in [0, 1) with 53 bits.
  double uniform();
  // Uniform in [0, bound), without bias.
  uint64_t below(uint64_t bound);
  // Standard normal (Box-Muller).
  double normal();

 private:
  uint64_t key_, stream_, counter_ = 0;
};

}  // namespace rowan

// Supplies the parts of the CUDA language that g++ lacks. When CUDA sources are compiled for the CPU, this header is
// included before everything else (-include). The header contains only a few functions, so code that uses others does
// not compile. As on a GPU, atomics and shuffles do not order other memory accesses.
#pragma once

#define ROWAN_EMULATION 1
#define __launch_bounds__(...)
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>

#include "engine.h"

#if defined(__SANITIZE_THREAD__)
#define EMULATION_UNSEEN __attribute__((no_sanitize("thread")))
#else
#define EMULATION_UNSEEN
#endif

#define threadIdx (::emulation::self->thread)
#define blockIdx (::emulation::self->block)
#define blockDim (::emulation::self->block_dim)
#define gridDim (::emulation::self->grid_dim)

inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  ::emulation::barrier(file, line);
}
inline void __syncwarp(unsigned mask = ~0u) { ::emulation::sync_warp(mask); }

namespace emulation {

template <typename T>
struct Shuffle {
  T in, out;
  unsigned source;
};

template <typename T>
EMULATION_UNSEEN inline T shuffle(const char* name, unsigned mask, T value, unsigned source) {
  Shuffle<T> record{value, value, source};
  warp_collective(name, mask, &record, [](void** records, unsigned m) EMULATION_UNSEEN {
    for (unsigned lane = 0; lane < 32; ++lane) {
      if (!(m >> lane & 1)) continue;
      auto* reader = static_cast<Shuffle<T>*>(records[lane]);
      if (reader->source >= 32 || !(m >> reader->source & 1)) report("shuffle: reads a lane outside its mask");
      reader->out = static_cast<Shuffle<T>*>(records[reader->source])->in;
    }
  });
  return record.out;
}

}  // namespace emulation

template <typename T>
inline T __shfl_xor_sync(unsigned mask, T value, int distance) {
  return ::emulation::shuffle("__shfl_xor_sync", mask, value, ::emulation::self->lane ^ unsigned(distance));
}
template <typename T>
inline T __shfl_sync(unsigned mask, T value, int source) {
  return ::emulation::shuffle("__shfl_sync", mask, value, unsigned(source) & 31);
}

inline int __any_sync(unsigned mask, int predicate) {
  struct Vote {
    int in, out;
  } vote{predicate, 0};
  ::emulation::warp_collective("__any_sync", mask, &vote, [](void** records, unsigned m) EMULATION_UNSEEN {
    int any = 0;
    for (unsigned lane = 0; lane < 32; ++lane)
      if (m >> lane & 1) any |= static_cast<Vote*>(records[lane])->in;
    for (unsigned lane = 0; lane < 32; ++lane)
      if (m >> lane & 1) static_cast<Vote*>(records[lane])->out = any != 0;
  });
  return vote.out;
}

inline int atomicAdd(int* address, int value) { return __atomic_fetch_add(address, value, __ATOMIC_RELAXED); }

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __logf(float x) { return std::log(x); }
using std::max;
using std::min;

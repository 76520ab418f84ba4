// Scratch memory that operations keep from call to call.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <vector>

#include "base/error.h"
#include "kernels/category.h"

namespace rowan::cpu {

class Scratch {
 public:
  Scratch() = default;
  ~Scratch() { std::free(memory_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // Returns memory that is 64-byte aligned, uninitialized and valid until the next call. The memory grows to the
  // largest request. Throws OutOfMemory if there is not enough memory.
  float* take(int64_t floats) {
    if (floats > floats_) {
      std::free(memory_);
      floats_ = 0;
      size_t bytes = (static_cast<size_t>(floats) * sizeof(float) + 63) / 64 * 64;
      memory_ = std::aligned_alloc(64, bytes);
      if (!memory_)
        throw OutOfMemory(fmt::format("out of memory: {} bytes for {}", bytes, name_of(Category::workspace)));
      floats_ = floats;
    }
    return static_cast<float*>(memory_);
  }

 private:
  void* memory_ = nullptr;
  int64_t floats_ = 0;
};

// Scratch memory of `count` floats that belongs to the calling thread. A later call on this thread returns the same
// memory, or larger memory in its place.
inline float* lines(int64_t count) {
  thread_local std::vector<float> memory;
  if (static_cast<int64_t>(memory.size()) < count) memory.resize(static_cast<size_t>(count));
  return memory.data();
}

}  // namespace rowan::cpu

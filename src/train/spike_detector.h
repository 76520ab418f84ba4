// SpikeDetector: measures how far a step's loss or gradient norm lies above the values of earlier steps, to tell spikes
// from noise. llm.c skips updates by the same measure (its options -sl and -sg).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace rowan {

class SpikeDetector {
 public:
  // Compares each value with the `window` values before it; `window` is at least 2.
  explicit SpikeDetector(int64_t window) : window_(static_cast<size_t>(window)) {}

  // Returns how many standard deviations `value` lies above the mean of the window. Returns 0 if the window is not full
  // or its values are all equal. Adds `value` to the window in any case, so a lasting rise stops counting as a spike.
  double add(double value);

  // The values in the window, oldest first, for checkpoints.
  std::vector<double> recent() const { return {recent_.begin(), recent_.end()}; }
  void restore(const std::vector<double>& recent);

 private:
  size_t window_;
  std::deque<double> recent_;
};

}  // namespace rowan

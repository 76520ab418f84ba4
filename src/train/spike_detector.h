// SpikeDetector: how far a figure of a training step lies above those of the steps before, by which spikes are told
// from noise. llm.c skips updates by the same measure (its -sl and -sg).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace rowan {

class SpikeDetector {
 public:
  // Compares with the last `window` values; 2 at least.
  explicit SpikeDetector(int64_t window) : window_(static_cast<size_t>(window)) {}

  // Standard deviations that `value` lies above the mean of the values before it, 0 while they do not fill the window.
  // Takes it in, outlier or not, so that a level that lasts becomes the new normal.
  double add(double value);

  // The values compared with, oldest first, for checkpoints.
  std::vector<double> recent() const { return {recent_.begin(), recent_.end()}; }
  void restore(const std::vector<double>& recent);

 private:
  size_t window_;
  std::deque<double> recent_;
};

}  // namespace rowan

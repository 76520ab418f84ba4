#include "train/spike_detector.h"

#include <cmath>

namespace rowan {

double SpikeDetector::add(double value) {
  double score = 0;
  if (recent_.size() == window_) {
    const double count = static_cast<double>(window_);
    double mean = 0, variance = 0;
    for (double x : recent_) mean += x / count;
    for (double x : recent_) variance += (x - mean) * (x - mean) / count;
    if (variance > 0) score = (value - mean) / std::sqrt(variance);
  }
  recent_.push_back(value);
  if (recent_.size() > window_) recent_.pop_front();
  return score;
}

void SpikeDetector::restore(const std::vector<double>& recent) {
  recent_.assign(recent.begin(), recent.end());
  while (recent_.size() > window_) recent_.pop_front();
}

}  // namespace rowan

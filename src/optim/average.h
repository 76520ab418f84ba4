// Averages of the weights over steps: an exponential moving average, and the mean over the last steps of a run (Polyak
// and Juditsky 1992). They do not affect training. They can be evaluated and exported.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/arena.h"
#include "optim/share.h"

namespace rowan {

// "average": {"ema": COEFFICIENT, "ema_start": STEPS, "tail": STEPS}
struct AverageConfig {
  double ema = 0;         // coefficient of the EMA a <- ema a + (1 - ema) w of the weights w; 0: no EMA
  int64_t ema_start = 0;  // number of steps before the EMA starts; its first value is the weights after the next update
  int64_t tail = 0;       // number of last steps of the run whose weights are averaged; 0: no such average
};

class Averages {
 public:
  struct Average {
    std::string name;            // "ema" or "tail"; also the name of its file in a checkpoint
    int64_t count = 0;           // number of updates averaged so far; 0: not started
    int64_t first = 0;           // the first step whose weights are in the average
    std::vector<Tensor> values;  // the averaged weights: one fp32 tensor per share
  };

  // Averages the fp32 master of each share, or the weight of a share without a master. `steps` is the length of the
  // run. The constructor allocates all memory.
  Averages(Backend& backend, const AverageConfig& config, int64_t steps, const std::vector<Share>& shares);

  // The first step (from 1) whose weights belong to the average.
  int64_t first_step(const Average& average) const;
  // To be called after the update of step `step`.
  void update(int64_t step);
  std::vector<Average>& all() { return all_; }
  const std::vector<Average>& all() const { return all_; }

  // show() replaces the shares' weights by the average, rounded to the dtype of the weights. hide() restores the
  // weights bit for bit.
  void show(const Average& average);
  void hide();

 private:
  void take(Average& average, int64_t step, double weight);

  Backend& backend_;
  AverageConfig config_;
  int64_t steps_;
  const std::vector<Share>& shares_;
  std::vector<Average> all_;
  std::vector<Tensor> held_;  // copies of the weights while an average is shown; empty for a share with a master
  Arena memory_, held_memory_;
};

}  // namespace rowan

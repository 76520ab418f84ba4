// Averages of the weights over steps, kept beside them: an exponential one, and the mean over the last steps of a run
// (Polyak and Juditsky 1992). They change nothing about training; they can be evaluated and exported.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/arena.h"
#include "optim/share.h"

namespace rowan {

// "average": {"ema": COEFFICIENT, "ema_start": STEPS, "tail": STEPS}
struct AverageConfig {
  double ema = 0;         // a <- ema a + (1 - ema) w after each update; 0: none
  int64_t ema_start = 0;  // updates before it begins, as the weights are then
  int64_t tail = 0;       // the mean of the weights after each of the last `tail` steps of the run; 0: none
};

class Averages {
 public:
  struct Average {
    std::string name;            // "ema" or "tail", also of its file in a checkpoint
    int64_t count = 0;           // updates it has seen; 0: not begun
    std::vector<Tensor> values;  // f32, of each share
  };

  // Of the shares' masters where they have some, else of their weights. `steps` is that of the run. Takes its memory
  // here.
  Averages(Backend& backend, const AverageConfig& config, int64_t steps, const std::vector<Share>& shares);

  // After update number `step` (from 1).
  void update(int64_t step);
  std::vector<Average>& all() { return all_; }
  const std::vector<Average>& all() const { return all_; }

  // The average, rounded to their dtype, in the place of the shares' weights; hide() brings these back bit for bit.
  void show(const Average& average);
  void hide();

 private:
  void take(Average& average, double weight);

  Backend& backend_;
  AverageConfig config_;
  int64_t steps_;
  const std::vector<Share>& shares_;
  std::vector<Average> all_;
  std::vector<Tensor> held_;  // weights without masters while an average is in their place
  Arena memory_, held_memory_;
};

}  // namespace rowan

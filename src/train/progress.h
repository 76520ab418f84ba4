// What a person sees while a run trains: one line that is rewritten in place on a terminal, plain lines in a file.
#pragma once

#include <cstdio>
#include <string>

#include "run/metrics.h"

namespace rowan {

class Progress {
 public:
  // Lines go to `out`; `in_place` rewrites the training line (see is_terminal()).
  Progress(int64_t total_steps, std::FILE* out, bool in_place);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // step 250/5000  loss 3.4521  lr 2.00e-03  |g| 0.81  41.2K tok/s  MFU 38.1%  ETA 3m 05s
  // MFU is left out where it is not known. The time left assumes this row's rate.
  void train(const TrainRow& row);
  // A line that stays.
  void validation(const ValidationRow& row);
  void message(const std::string& text);

 private:
  void end_line();

  int64_t total_steps_;
  std::FILE* out_;
  bool in_place_, open_line_ = false;
};

bool is_terminal(std::FILE* file);

}  // namespace rowan

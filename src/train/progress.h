// What a person sees while a run trains. Rows go to stdout, on a terminal as one line that is rewritten in place; notes
// go to stderr. Both are kept in RUN/log.txt. What cannot be shown or kept there is lost, and the run goes on.
#pragma once

#include <cstdio>
#include <filesystem>
#include <string>

#include "run/metrics.h"

namespace rowan {

class Progress {
 public:
  // `in_place` rewrites the training line (see is_terminal()).
  Progress(int64_t total_steps, std::FILE* rows, std::FILE* notes, bool in_place);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // From here on everything is appended to this file, too; first what was shown before.
  void keep_log(const std::filesystem::path& file);

  // step 250/5000  loss 3.4521  lr 2.00e-03  |g| 0.81  41.2K tok/s  MFU 38.1%  ETA 3m 05s
  // MFU is left out where it is not known. The time left assumes this row's rate.
  void train(const TrainRow& row);
  void validation(const ValidationRow& row);
  // A note of one or more lines.
  void message(const std::string& text);
  // For the log alone: whoever ends the program shows it.
  void keep_error(const std::string& text);

 private:
  void line(std::FILE* out, const std::string& text);
  void keep(const std::string& text);
  void end_line();

  int64_t total_steps_;
  std::FILE *rows_, *notes_;
  std::FILE* log_ = nullptr;
  std::string before_log_;
  bool in_place_, open_line_ = false;
};

bool is_terminal(std::FILE* file);

}  // namespace rowan

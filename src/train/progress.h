// What a person sees while a run trains. Rows go to stdout, on a terminal as one line that is rewritten in place; notes
// go to stderr. Both are kept in RUN/log.txt. Text that cannot be written is lost, for the log with one warning, and
// training continues.
#pragma once

#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "run/metrics.h"

namespace rowan {

class Progress {
 public:
  // `in_place` rewrites the training line (see is_terminal()).
  Progress(int64_t total_steps, std::FILE* rows, std::FILE* notes, bool in_place);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Appends everything to this file as well: first the lines shown so far, then all later ones.
  void keep_log(const std::filesystem::path& file);

  // step 250/5000  loss 3.4521  lr 2.00e-03  |g| 0.81  41.2K tok/s  MFU 38.1%  ETA 3m 05s
  // MFU is left out where it is not known. On a terminal too narrow for all, MFU goes first, then what else stands
  // before the ETA. `seconds_left`: with the evaluations to come.
  void train(const TrainRow& row, double seconds_left);
  void validation(const ValidationRow& row);
  // Rewrites the line of a terminal while an evaluation runs; elsewhere nothing is shown.
  void evaluating(int64_t step, double part);
  // Shows a note of one or more lines.
  void message(const std::string& text);
  // Shows lines of a label and a text; further lines of a text are aligned below it.
  void page(const std::vector<std::pair<std::string, std::string>>& lines);
  // Written to the log only: main() shows it.
  void keep_error(const std::string& text);

 private:
  void line(std::FILE* out, const std::string& text, size_t indent = 0);
  void rewrite(const std::string& text);
  void keep(const std::string& text);
  void lose_log();
  void end_line();

  int64_t total_steps_;
  std::FILE *rows_, *notes_;
  std::FILE* log_ = nullptr;
  std::filesystem::path log_path_;
  std::string before_log_;
  bool in_place_, open_line_ = false, passing_ = false;  // passing_: the open line is temporary and may be erased
  bool log_lost_ = false;
};

}  // namespace rowan

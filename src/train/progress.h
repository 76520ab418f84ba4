// What the user sees while a run trains. Training and validation rows go to stdout; on a terminal, a training row
// overwrites the training row directly before it. Notes go to stderr. Rows and notes are also appended to RUN/log.txt.
// Text that cannot be written is dropped, and training continues. If the log cannot be written, one warning is shown.
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
  // `in_place`: a training row overwrites the training row directly before it, as on a terminal.
  Progress(int64_t total_steps, std::FILE* rows, std::FILE* notes, bool in_place);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Also writes rows and notes to this file: first those shown so far, then the later ones.
  void keep_log(const std::filesystem::path& file);

  // Shows a line such as
  //   step 250/5000  loss 3.4521  lr 2.00e-03  |g| 0.81  41.2K tok/s  MFU 38.1%  ETA 3m 05s
  // An unknown MFU is left out. On a narrow terminal, MFU, |g|, lr and tok/s are left out, in this order, until the
  // line fits. `seconds_left` is shown as the ETA, except after the last step.
  void train(const TrainRow& row, double seconds_left);
  void validation(const ValidationRow& row);
  // If `in_place`, shows the fraction `part` of the running evaluation that is done; otherwise shows nothing.
  void evaluating(int64_t step, double part);
  // Shows a note of one or more lines.
  void message(const std::string& text);
  // Shows pairs of a label and a text. Further lines of a text are aligned below its first line.
  void page(const std::vector<std::pair<std::string, std::string>>& lines);
  // Writes an error to the log only, because main() shows it.
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
  // open_line_: the last line shown has no newline yet. passing_: that line is temporary and will be erased.
  bool in_place_, open_line_ = false, passing_ = false;
  bool log_lost_ = false;
};

}  // namespace rowan

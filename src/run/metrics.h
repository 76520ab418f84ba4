// A run's metrics: RUN/metrics.jsonl, with one JSON object per line, and TensorBoard events with most of the same
// numbers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json_fwd.h"
#include "run/tensorboard.h"

namespace rowan {

// One training step. `step` counts finished steps from 1, including those whose update was skipped.
struct TrainRow {
  int64_t step = 0;
  double loss = 0;       // mean over the step's targets, in nats
  double lr = 0;         // learning rate of the main recipe
  double grad_norm = 0;  // global gradient norm before clipping
  int64_t tokens = 0;    // tokens consumed since step 0, padding included
  double tokens_per_second = 0;
  double mfu = 0;                                         // model FLOP/s divided by peak FLOP/s; not finite if unknown
  double seconds = 0;                                     // seconds of training over all starts (RunLog::seconds)
  std::optional<int64_t> unpadded_tokens = {};            // `tokens` without padding; absent if rows are packed
  std::string skipped = {};                               // why the update was skipped; "": it was applied
  std::vector<std::pair<std::string, double>> more = {};  // values named lr/GROUP and time/PHASE

  // Calls write(key, value, plotted) for each number of this row in metrics.jsonl. Plotted values are also written to
  // TensorBoard. FORMATS.md documents the keys.
  template <typename Write>
  void visit(Write write) const {
    write("step", step, false);
    write("loss", loss, true);
    write("lr", lr, true);
    write("grad_norm", grad_norm, true);
    write("tokens", tokens, false);
    write("tokens_per_second", tokens_per_second, true);
    write("mfu", mfu, true);
    write("seconds", seconds, false);
    if (unpadded_tokens) write("unpadded_tokens", *unpadded_tokens, false);
    for (const auto& [key, value] : more) write(key.c_str(), value, true);
  }
};

// An evaluation after `step` steps.
struct ValidationRow {
  int64_t step = 0;
  std::optional<double> val_loss;                     // nats per token; absent without validation data
  std::vector<std::pair<std::string, double>> extra;  // other values, such as a benchmark's accuracy
};

// Shows the user a line of text, which has no newline at its end.
using Note = std::function<void(const std::string&)>;

// Appends rows to metrics.jsonl, and writes most of their numbers as events to RUN/tensorboard. A number that is not
// finite becomes null in metrics.jsonl. If a row cannot be written, for example because the disk is full, one note says
// so, and the row is kept in memory and written before the next one. Events that cannot be written cause one note, and
// the run continues without events.
class MetricsLog {
 public:
  // Without `resumed_step`, starts an empty log. With it, keeps the rows up to this step. Drops later rows, `resume`
  // and `ended` rows of this step, and an incomplete last line; if `evaluates_again`, also evaluations of this step.
  // Rows that cannot be parsed are dropped with one note. A mark_other_evaluation() that is dropped is written again
  // after the rows that are kept.
  MetricsLog(const std::filesystem::path& run_dir, std::optional<int64_t> resumed_step, const Note& note,
             bool evaluates_again = false);
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;

  void train_row(const TrainRow& row);
  void validation_row(const ValidationRow& row);
  // Writes {"step": ..., NAME: value, ...} for the update that completed `step`. Names begin with optimizer/ or norm/.
  void figures_row(int64_t step, const std::vector<std::pair<std::string, double>>& figures);
  // Writes {"step": ..., "resume": {...}}, which records that the run was resumed after `step`.
  void resume_row(int64_t step, const Json& start);

  // Writes {"step": ..., "ended": "patience"}, which records that run.patience ended the run.
  void ended_row(int64_t step);

  // The evaluations in the log since the last mark_other_evaluation(), including those of earlier starts.
  const std::vector<ValidationRow>& evaluations() const { return evaluations_; }

  // Syncs the rows to disk; Error if some cannot be written. Must be called before a checkpoint is committed, because a
  // run resumed from the checkpoint needs all rows up to its step. If metrics.jsonl was removed or replaced meanwhile,
  // writes it again, with a note.
  void sync();

 private:
  void append(const std::string& line);
  void write_waiting();  // throws Error if not all is written
  int open() const;      // returns a descriptor
  void plot(const std::string& tag, int64_t step, double value);
  // Runs `write`. On Error, shows a note and closes the event file; plot() then does nothing.
  void try_events(const std::function<void()>& write);

  std::filesystem::path path_;
  Note note_;
  int fd_ = -1;
  std::string waiting_;  // rows, or the end of one, that could not be written yet
  bool late_ = false;    // a note has said that rows wait
  std::vector<ValidationRow> evaluations_;
  std::optional<TensorBoardWriter> events_;
};

// The rows of a metrics.jsonl in order. Each is an object with an integer `step` of at least 0, in which `loss`,
// `val_loss`, `tokens` and `seconds` are numbers, null or absent. Other lines are left out with one note. A last line
// without a newline is ignored.
std::vector<Json> read_metrics(const std::filesystem::path& metrics, const Note& note);

// Appends {"step": ..., "evaluation": "changed"} to a metrics.jsonl, if there is one. The run continues after `step`,
// and its validation losses cannot be compared with those of earlier rows: they are of other text, or of more or less
// of it.
void mark_other_evaluation(const std::filesystem::path& metrics, int64_t step);
// Whether this row is such a mark.
bool begins_other_evaluation(const Json& row);

// The step at which run.patience ended the run with these rows; nothing if it did not, or if later steps follow.
std::optional<int64_t> ended_step(const std::vector<Json>& rows);

}  // namespace rowan

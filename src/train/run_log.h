// RunLog: what rank 0 shows and records while a run trains.
#pragma once

#include <functional>
#include <map>
#include <optional>

#include "run/metrics.h"
#include "train/progress.h"
#include "train/trainer.h"

namespace rowan {

// Seconds of a monotonic clock.
double steady_seconds();

class RunLog {
 public:
  // `peak`: FLOP/s of matrix products on all ranks together. `resumed`: the trainer continues from a checkpoint.
  // `evaluates_again`: drop the evaluation of that checkpoint's step. `seconds_before`: training time up to that
  // checkpoint.
  RunLog(const TrainConfig& config, const Trainer& trainer, Progress& progress, double peak, bool resumed,
         bool evaluates_again, double seconds_before);

  // Seconds of training over all starts, without pauses.
  double seconds() const { return seconds_at(steady_seconds()); }

  void step(const StepResult& result);
  // `averages`: validation losses of averages of the weights, by name.
  void evaluation(const std::optional<ValidationLosses>& validation,
                  const std::vector<std::pair<std::string, double>>& averages,
                  const std::optional<HellaSwagScore>& hellaswag);
  void resumed(const Json& start) { log_.resume_row(trainer_.steps_done(), start); }
  void ended_by_patience() { log_.ended_row(trainer_.steps_done()); }
  // Syncs the rows to disk.
  void sync() { log_.sync(); }

  bool evaluated() const;
  // The validation loss at the current step, if there is one.
  std::optional<double> validation() const;
  // The step with the lowest validation loss so far. Like the next function, leaves out evaluations that cannot be
  // compared with the newest (mark_other_evaluation()).
  std::optional<int64_t> best() const;
  // The steps of all evaluations with a finite validation loss, in the order of their losses.
  std::vector<int64_t> best_first() const;
  // Whether the last run.patience evaluations brought no lower loss, or the run had ended before it is evaluated again.
  bool patience_is_over() const;

  enum class Pause { evaluation, checkpoint, check };
  // Runs `work`, whose time counts neither as training time nor in the rates.
  void pause(Pause what, const std::function<void()>& work);
  // Shows the fraction `part` of an evaluation that is done.
  void evaluating(double part) { progress_.evaluating(trainer_.steps_done(), part); }
  // A text such as "forward 31%, ...": each phase's percentage of the time since this object was constructed. Phases
  // below 0.5% are left out.
  std::string time_text() const;

 private:
  double seconds_at(double time) const { return seconds_before_ + time - start_ - paused_; }
  void estimate(int64_t step);
  // An estimate of the seconds left in the run at this rate of training, with evaluations and checkpoints.
  double seconds_left(int64_t step, double tokens_per_second) const;
  std::vector<std::pair<std::string, double>> details(int64_t step);
  size_t best_index() const;

  const TrainConfig& config_;
  const Trainer& trainer_;
  Progress& progress_;
  MetricsLog log_;
  bool evaluates_again_;
  double flops_, peak_, seconds_before_, start_, last_time_, paused_ = 0;
  double settled_ = 0;  // seconds() after this process's first step, which is slower than later steps
  int64_t last_step_, first_step_, skipped_;
  std::map<std::string, double> phases_;  // seconds of each phase up to the last training row
  struct Pauses {
    double seconds = 0;
    int64_t count = 0;
  };
  std::map<Pause, Pauses> pauses_;
};

}  // namespace rowan

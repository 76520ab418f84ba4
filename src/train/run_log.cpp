#include "train/run_log.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/human.h"
#include "base/timeline.h"
#include "data/attended_share.h"
#include "evaluate/bits_per_byte.h"
#include "model/model.h"
#include "optim/routing.h"

namespace rowan {

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

RunLog::RunLog(const TrainConfig& config, const Trainer& trainer, Progress& progress, double peak, bool resumed,
               bool evaluates_again, double seconds_before)
    : config_(config),
      trainer_(trainer),
      progress_(progress),
      log_(
          config.run.dir, resumed ? std::optional(trainer.steps_done()) : std::nullopt,
          [&](const std::string& text) { progress.message(text); }, evaluates_again),
      evaluates_again_(evaluates_again),
      flops_(flops_per_token(config.model, config.batch.sequence_length)
                 .within(attended_share(trainer.batches(), config.data.documents))),
      peak_(peak),
      seconds_before_(seconds_before),
      start_(steady_seconds()),
      last_time_(start_),
      last_step_(trainer.steps_done()),
      first_step_(trainer.steps_done()),
      skipped_(trainer.steps_done() - trainer.optimizer().updates()) {}

void RunLog::step(const StepResult& result) {
  const int64_t step = trainer_.steps_done();
  if (!result.skipped.empty())
    progress_.message(fmt::format("step {}: {}; update skipped ({} so far)", step, result.skipped, ++skipped_));
  std::vector<std::pair<std::string, double>> figures;
  if (result.skipped.empty())
    for (const Metric& metric : trainer_.optimizer().telemetry())
      figures.emplace_back("optimizer/" + metric.name, metric.value);
  figures.insert(figures.end(), trainer_.norms().begin(), trainer_.norms().end());
  if (!figures.empty()) log_.figures_row(step, figures);
  estimate(step);
  if (step % config_.run.log_every && step != config_.run.steps && step != 1 && result.skipped.empty()) return;
  const double time = steady_seconds(), elapsed = time - last_time_;
  const double rate = static_cast<double>((step - last_step_) * trainer_.tokens_per_step()) / elapsed;
  last_time_ = time, last_step_ = step;
  TrainRow row{.step = step,
               .loss = result.loss,
               .lr = result.lr,
               .grad_norm = result.grad_norm,
               .tokens = step * trainer_.tokens_per_step(),
               .tokens_per_second = rate,
               .mfu = rate * flops_ / peak_,
               .seconds = seconds_at(time)};
  if (config_.data.reading == Reading::documents) row.unpadded_tokens = trainer_.unpadded_tokens();
  row.skipped = result.skipped;
  row.more = details(step);
  log_.train_row(row);
  progress_.train(row, seconds_left(step, rate));
}

std::vector<std::pair<std::string, double>> RunLog::details(int64_t step) {
  std::vector<std::pair<std::string, double>> figures;
  const ParameterTable& table = trainer_.model().parameters();
  for (const auto& [group, rate] : group_rates(config_.optimizer, table, step - 1, config_.schedule.pace(step - 1)))
    figures.emplace_back("lr/" + group, rate);
  for (const auto& [phase, seconds] : trainer_.timeline().seconds()) {
    figures.emplace_back("time/" + phase, seconds - phases_[phase]);
    phases_[phase] = seconds;
  }
  return figures;
}

double RunLog::seconds_left(int64_t step, double tokens_per_second) const {
  const RunConfig& run = config_.run;
  const int64_t left = run.steps - step;
  double seconds = static_cast<double>(left * trainer_.tokens_per_step()) / tokens_per_second;
  auto times = [&](int64_t every) { return every ? run.steps / every - step / every : 0; };
  auto mean = [&](Pause what) {
    const auto found = pauses_.find(what);
    return found == pauses_.end() ? 0.0 : found->second.seconds / static_cast<double>(found->second.count);
  };
  double evaluation = mean(Pause::evaluation);
  if (evaluation == 0)  // no evaluation yet; a forward pass takes about a third of a step
    evaluation =
        static_cast<double>(trainer_.validation_tokens() + trainer_.hellaswag_tokens()) / (3 * tokens_per_second);
  const bool one_more = run.eval_every == 0 || run.steps % run.eval_every != 0;  // the evaluation at the end
  seconds += evaluation * static_cast<double>(times(run.eval_every) + one_more);
  double checkpoints = static_cast<double>(times(run.checkpoint_every));
  if (run.checkpoint_seconds) checkpoints += seconds / static_cast<double>(run.checkpoint_seconds);
  return seconds + mean(Pause::checkpoint) * checkpoints;
}

std::string RunLog::time_text() const {
  const double all = steady_seconds() - start_;
  std::string text;
  for (const auto& [phase, seconds] : trainer_.timeline().seconds())
    if (seconds >= 0.005 * all)
      text += fmt::format("{}{} {:.0f}%", text.empty() ? "" : ", ", phase, 100 * seconds / all);
  return text;
}

void RunLog::evaluation(const std::optional<ValidationLosses>& validation,
                        const std::vector<std::pair<std::string, double>>& averages,
                        const std::optional<HellaSwagScore>& hellaswag) {
  ValidationRow row{trainer_.steps_done(), {}, {}};
  if (validation) row.val_loss = validation->mean;
  for (const auto& [name, loss] : averages) row.extra.emplace_back("val_loss_" + name, loss);
  if (validation && trainer_.validation_bytes() > 0)
    row.extra.emplace_back("val_bits_per_byte", bits_per_byte(*validation, trainer_.validation_bytes()));
  if (validation && validation->batch_mean) row.extra.emplace_back("val_loss_batch_mean", *validation->batch_mean);
  if (validation && validation->galore) row.extra.emplace_back("val_loss_galore", *validation->galore);
  if (hellaswag) {
    row.extra.emplace_back("hellaswag_acc_norm", hellaswag->acc_norm());
    row.extra.emplace_back("hellaswag_acc", hellaswag->acc());
  }
  if (!row.val_loss && row.extra.empty()) return;
  log_.validation_row(row);
  progress_.validation(row);
}

bool RunLog::evaluated() const {
  const auto& all = log_.evaluations();
  return !all.empty() && all.back().step == trainer_.steps_done();
}

std::optional<double> RunLog::validation() const {
  return evaluated() ? log_.evaluations().back().val_loss : std::nullopt;
}

size_t RunLog::best_index() const {
  const auto& all = log_.evaluations();
  size_t best = all.size();
  for (size_t i = 0; i < all.size(); ++i)
    if (all[i].val_loss && std::isfinite(*all[i].val_loss) &&
        (best == all.size() || *all[i].val_loss < *all[best].val_loss))
      best = i;
  return best;
}

std::optional<int64_t> RunLog::best() const {
  const size_t best = best_index();
  return best < log_.evaluations().size() ? std::optional(log_.evaluations()[best].step) : std::nullopt;
}

std::vector<int64_t> RunLog::best_first() const {
  std::vector<std::pair<double, int64_t>> losses;
  for (const ValidationRow& row : log_.evaluations())
    if (row.val_loss && std::isfinite(*row.val_loss)) losses.emplace_back(*row.val_loss, row.step);
  std::sort(losses.begin(), losses.end());
  std::vector<int64_t> steps;
  for (const auto& [loss, step] : losses) steps.push_back(step);
  return steps;
}

bool RunLog::patience_is_over() const {
  const size_t all = log_.evaluations().size(), best = best_index(), since_best = best < all ? all - best - 1 : all;
  return evaluates_again_ || static_cast<int64_t>(since_best) >= config_.run.patience;
}

void RunLog::pause(Pause what, const std::function<void()>& work) {
  const double begin = steady_seconds();
  work();
  const double seconds = steady_seconds() - begin;
  paused_ += seconds;
  last_time_ += seconds;
  pauses_[what].seconds += seconds;
  ++pauses_[what].count;
}

// After the first 6 steps of this process, shows an estimate of the time left if at least 10 steps are left.
void RunLog::estimate(int64_t step) {
  const int64_t done = step - first_step_, left = config_.run.steps - step;
  if (done == 1) settled_ = seconds();
  if (done != 6 || left < 10) return;
  const double a_step = (seconds() - settled_) / static_cast<double>(done - 1);
  progress_.message(
      fmt::format("about {} left for {} steps and their evaluations",
                  human_duration(seconds_left(step, static_cast<double>(trainer_.tokens_per_step()) / a_step)), left));
}

}  // namespace rowan

#include "train/loop.h"

#include <chrono>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/memory.h"
#include "comm/agreement.h"
#include "kernels/ceiling.h"
#include "run/metrics.h"
#include "train/initial_weights.h"
#include "train/plan.h"
#include "train/progress.h"
#include "train/report.h"
#include "train/signals.h"
#include "train/trainer.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Two builds may round differently, and two versions may not even speak of the same messages.
std::string program_checksum() { return fmt::format("{:016x}", hash64(MappedFile("/proc/self/exe").text())); }

// The checkpoint to start from, if any. A directory that another config filled is not touched.
std::optional<fs::path> find_start(const TrainConfig& config, bool resume, Progress& progress) {
  const fs::path dir = config.run.dir;
  remove_unfinished_checkpoints(dir / "checkpoints");
  auto newest = newest_checkpoint(dir / "checkpoints", [&](const std::string& text) { progress.message(text); });
  if (!newest && resume) fail("{}: --resume, but there is no checkpoint", (dir / "checkpoints").string());
  if (newest && !resume && fs::exists(dir / "config.json")) {
    // Read as this version reads it: what an older one left out has today's defaults.
    const Json before = load_config((dir / "config.json").string(), {}).resolved;
    for (const Json& change : Json::diff(identity_of(before), identity_of(config.resolved)))
      fail(
          "{}: holds a run with another config (first difference at {}); choose another run.dir, or --resume to "
          "continue it with the new one",
          dir.string(), change.at("path").get<std::string>());
  }
  if (!newest && fs::exists(dir / "config.json") && !fs::exists(dir / "metrics.jsonl") &&
      read_file(dir / "config.json") != config.resolved.dump(2) + "\n")
    fail("{}: has a config.json that is no run's; choose another run.dir", dir.string());
  return newest;
}

// Host memory is promised before it is there, and a process that then takes too much is killed without a word.
void check_memory(const TrainConfig& config, const Backend& backend, int ranks) {
  const size_t needed = make_plan(config, ranks).total_bytes, available = available_memory();
  if (backend.host_memory() && needed > available)
    fail(
        "out of memory: the run takes {} on each rank, {} are free here; lower batch.micro_batch or set recompute "
        "(rowan plan shows what takes how much)",
        human_bytes(static_cast<double>(needed)), human_bytes(static_cast<double>(available)));
}

// Everything that rank 0 shows and keeps of a run.
class Watch {
 public:
  Watch(const TrainConfig& config, const Trainer& trainer, Progress& progress, double peak, bool resumed,
        double seconds_before)
      : config_(config),
        trainer_(trainer),
        progress_(progress),
        log_(config.run.dir, resumed ? std::optional(trainer.steps_done()) : std::nullopt),
        flops_(flops_per_token(config.model, config.batch.sequence_length).causal),
        peak_(peak),
        seconds_before_(seconds_before),
        start_(now()),
        last_time_(start_),
        last_step_(trainer.steps_done()),
        first_step_(trainer.steps_done()) {}

  double seconds() const { return seconds_before_ + now() - start_ - paused_; }

  void step(const StepResult& result) {
    const int64_t step = trainer_.steps_done();
    if (!result.skipped.empty())
      progress_.message(fmt::format("step {}: {}; update skipped ({} so far)", step, result.skipped, ++skipped_));
    std::vector<std::pair<std::string, double>> figures;
    if (result.skipped.empty())
      for (const Metric& metric : trainer_.optimizer().telemetry()) figures.emplace_back(metric.name, metric.value);
    if (!figures.empty()) log_.optimizer_row(step, figures);
    estimate(step);
    if (step % config_.run.log_every && step != config_.run.steps && step != 1) return;
    const double time = now(), elapsed = time - last_time_;
    const double rate = static_cast<double>((step - last_step_) * trainer_.tokens_per_step()) / elapsed;
    last_time_ = time, last_step_ = step;
    TrainRow row{.step = step,
                 .loss = result.loss,
                 .lr = result.lr,
                 .grad_norm = result.grad_norm,
                 .tokens = step * trainer_.tokens_per_step(),
                 .tokens_per_second = rate,
                 .mfu = rate * flops_ / peak_,
                 .seconds = seconds()};
    if (config_.data.reading == Reading::documents) row.unpadded_tokens = trainer_.unpadded_tokens();
    log_.train_row(row);
    progress_.train(row);
  }

  void evaluation(const std::optional<LossMeter>& validation, const std::optional<HellaSwagScore>& hellaswag) {
    ValidationRow row{trainer_.steps_done(), {}, {}};
    if (validation) row.val_loss = validation->mean();
    // The figure of the C4 papers, which read documents.
    if (validation && config_.data.reading == Reading::documents)
      row.extra.emplace_back("val_loss_galore", validation->galore_mean());
    if (hellaswag) {
      row.extra.emplace_back("hellaswag_acc_norm", hellaswag->acc_norm());
      row.extra.emplace_back("hellaswag_acc", hellaswag->acc());
    }
    if (!row.val_loss && row.extra.empty()) return;
    log_.validation_row(row);
    progress_.validation(row);
  }

  // Work that is not training does not count into the rates.
  void pause(const std::function<void()>& work) {
    const double begin = now();
    work();
    paused_ += now() - begin;
    last_time_ += now() - begin;
  }

 private:
  // Once the rate has settled: how long the whole will take.
  void estimate(int64_t step) {
    const int64_t done = step - first_step_, left = config_.run.steps - step;
    if (done == 1) settled_ = seconds();
    if (done != 6 || left < 10) return;
    const double a_step = (seconds() - settled_) / static_cast<double>(done - 1);
    progress_.message(fmt::format("about {} for the {} steps to come, evaluations and checkpoints aside",
                                  human_duration(a_step * static_cast<double>(left)), left));
  }

  const TrainConfig& config_;
  const Trainer& trainer_;
  Progress& progress_;
  MetricsLog log_;
  double flops_, peak_, seconds_before_, start_, last_time_, paused_ = 0;
  double settled_ = 0;  // seconds() when the first step, in which memory is touched, was over
  int64_t last_step_, first_step_, skipped_ = 0;
};

// Runs `work`; a message about memory that is not there gets the plan beside it.
template <typename Work>
auto with_plan(const TrainConfig& config, const Communicator& communicator, Work work) {
  try {
    return work();
  } catch (const OutOfMemory& error) {
    const Plan plan = make_plan(config, communicator.size());
    fail("{}; `rowan plan` says of this run: {}", error.what(), memory_text(plan));
  }
}

}  // namespace

void train(const TrainConfig& config, Backend& backend, Communicator& communicator, bool resume) {
  const bool first = communicator.rank() == 0;
  Progress progress(config.run.steps, stderr, is_terminal(stderr));
  StopSignals signals;

  std::optional<fs::path> start;
  fs::path weights;
  std::unique_ptr<Trainer> trainer;
  double seconds = 0, peak = 0;
  check_same(communicator, "the program", program_checksum());
  check_same(communicator, "config ", config.resolved);
  together(communicator, [&] {
    if (!first) return;
    start = find_start(config, resume, progress);
    if (!start && !config.init.empty())
      weights =
          find_initial_weights(config.init, config.model, [&](const std::string& text) { progress.message(text); });
  });
  std::string chosen = communicator.gather(start ? start->string() : "")[0];
  weights = communicator.gather(weights.string())[0];
  together(communicator, [&] {
    if (first) check_memory(config, backend, communicator.size());
    trainer = with_plan(config, communicator, [&] { return std::make_unique<Trainer>(config, backend, communicator); });
    if (!chosen.empty()) seconds = trainer->restore(chosen);
    if (!weights.empty()) trainer->load_weights(TensorFiles(weights));
    peak = peak_product_rate(backend, compute_dtype(config.precision)) * communicator.size();
  });
  check_same(communicator, "data ", trainer->batches().fingerprint());
  trainer->check_weights();
  std::unique_ptr<Watch> watch;
  together(communicator, [&] {
    if (!first) return;
    make_directories(fs::path(config.run.dir) / "checkpoints");
    write_file_atomically(fs::path(config.run.dir) / "config.json", config.resolved.dump(2) + "\n");
    print_start_page(config, *trainer, backend, communicator, peak);
    if (!chosen.empty()) progress.message(fmt::format("resumed from {}", chosen));
    if (!weights.empty()) progress.message(fmt::format("starts from the weights in {}", weights.string()));
    watch = std::make_unique<Watch>(config, *trainer, progress, peak, !chosen.empty(), seconds);
  });

  auto pause = [&](const std::function<void()>& work) { first ? watch->pause(work) : work(); };
  auto due = [&](int64_t every) {
    return (every && trainer->steps_done() % every == 0) || trainer->steps_done() == config.run.steps;
  };
  std::optional<LossMeter> validation;
  auto evaluate = [&] {
    std::optional<HellaSwagScore> hellaswag;
    pause([&] {
      validation = trainer->validate();
      hellaswag = trainer->hellaswag();
    });
    if (first) watch->evaluation(validation, hellaswag);
  };
  auto save = [&] { pause([&] { trainer->save(first ? watch->seconds() : 0); }); };
  if (config.run.steps == 0 && chosen.empty()) {
    evaluate();
    save();
  }
  bool stop = false;
  while (trainer->steps_done() < config.run.steps && !stop) {
    StepResult result = with_plan(config, communicator, [&] { return trainer->step(StopSignals::received() != 0); });
    stop = result.stop;
    if (first) watch->step(result);
    if (due(config.run.eval_every)) evaluate();
    if (config.run.check_weights_every && trainer->steps_done() % config.run.check_weights_every == 0)
      pause([&] { trainer->check_weights(); });
    if (due(config.run.checkpoint_every) || stop) save();
  }
  if (!validation && !stop) validation = trainer->validate();
  if (!first) return;
  if (stop)
    progress.message(
        fmt::format("stopped by a signal after step {}; the same command goes on from here", trainer->steps_done()));
  else
    print_end_page(config, validation, *trainer);
}

}  // namespace rowan

#include "train/loop.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "base/console.h"
#include "base/error.h"
#include "base/files.h"
#include "base/version.h"
#include "comm/agreement.h"
#include "comm/communicator.h"
#include "comm/launch.h"
#include "kernels/backend.h"
#include "kernels/ceiling.h"
#include "optim/recipe.h"
#include "run/tokenizer_match.h"
#include "train/divergence.h"
#include "train/initial_weights.h"
#include "train/known_peak.h"
#include "train/micro_batch.h"
#include "train/plan.h"
#include "train/profile.h"
#include "train/progress.h"
#include "train/report.h"
#include "train/run_log.h"
#include "train/signals.h"
#include "train/start.h"
#include "train/timed_products.h"
#include "train/trainer.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

// A note about a ruined checkpoint, with the command that goes back to the last sound checkpoint, if there is one.
std::string ruin_text(const TrainConfig& config, const std::string& what) {
  const std::vector<fs::path> sound = list_checkpoints(fs::path(config.run.dir) / "checkpoints");
  return fmt::format("{}; this checkpoint is {}*; {}", what, says_ruined,
                     sound.empty() ? std::string("there is no sound checkpoint to go back to")
                                   : fmt::format("the last sound checkpoint is {}; to go back to it, run rowan train "
                                                 "CONFIG --from {} with another optimizer.lr or grad_clip",
                                                 sound[0].filename().string(), step_of(sound[0])));
}

// FLOP/s of matrix products on all ranks together: rank 0's rate times the number of ranks. Valid on rank 0 only. If
// known_peak() returns no rate, all ranks measure at the same time. Returns 0 if there is too little memory for it.
double peak_of_all(Backend& backend, DType dtype, Communicator& communicator, const Note& note) {
  const bool first = communicator.rank() == 0;
  std::optional<double> peak;
  if (first) peak = known_peak(backend, dtype, communicator.size());
  if (communicator.gather(first && !peak ? "unknown" : "")[0].empty()) return peak.value_or(0) * communicator.size();
  if (first) note("measuring the rate of matrix products once; MFU is relative to it");
  double measured = 0;
  try {
    measured = square_product_rate(backend, dtype);
  } catch (const OutOfMemory&) {
  }
  if (communicator.sum({measured > 0 ? 0.0 : 1.0})[0] > 0) {
    if (first) note("warning: too little memory is left to measure the rate of matrix products, so there is no MFU");
    return 0;
  }
  if (first) keep_peak(backend, dtype, communicator.size(), measured);
  return measured * communicator.size();
}

// Rank 0 has just written RUN/starts.jsonl. Throws AgreedError if another rank does not see that file: the first
// checkpoint would fail. A network file system may show an earlier state for half a minute, so a rank looks again for a
// minute, but not until the others take it for hung.
void check_run_is_shared(Communicator& communicator, const fs::path& dir) {
  if (communicator.size() == 1) return;
  const auto seen = [file = dir / "starts.jsonl"]() -> std::string {
    try {
      return fs::exists(file) ? fmt::format("a file with the checksum {:016x}", hash64(read_file(file))) : "no file";
    } catch (const std::exception& error) {
      return message_of(error);
    }
  };
  const std::string wanted = communicator.gather(communicator.rank() == 0 ? seen() : "")[0];
  run_on_all_ranks(communicator, [&] {
    const double end = steady_seconds() + std::min(60.0, communicator.timeout_seconds() / 2);
    for (std::string mine; (mine = seen()) != wanted; std::this_thread::sleep_for(std::chrono::milliseconds(100)))
      if (steady_seconds() > end)
        fail(
            "run.dir: {}: on {}, found {}, expected {} as rank 0 sees: all ranks must share the file system of run.dir",
            (dir / "starts.jsonl").string(), machine_name(), mine, wanted);
  });
}

// Runs `work`. If memory runs out, adds the memory plan to the error message.
template <typename Work>
auto with_plan(const TrainConfig& config, const Communicator& communicator, Work work) {
  try {
    return work();
  } catch (const OutOfMemory& error) {
    const Plan plan = make_plan(config, communicator.size());
    fail("{}; the memory plan of this run: {}", error.what(), memory_text(plan));
  }
}

int run_to_end(const TrainConfig& config, Backend& backend, Communicator& communicator, const StartOptions& options,
               Progress& progress) {
  const double began = steady_seconds();
  const bool first = communicator.rank() == 0;
  const fs::path dir = config.run.dir;
  auto note = [&](const std::string& text) { progress.message(text); };

  std::unique_ptr<RunStart> start;
  fs::path weights_file;  // of the initial weights
  std::unique_ptr<Trainer> trainer;
  std::unique_ptr<Profile> profile;
  Json state = Json::object();
  double peak = 0;
  check_same(communicator, "config ", config.resolved);
  std::optional<TimedProducts> timed_products;
  if (config.products == Products::timed) timed_products.emplace(backend, communicator, dir / "products.json");
  run_on_all_ranks(communicator, [&] {
    if (!first) return;
    if (!options.profile.empty()) profile = std::make_unique<Profile>(backend.timeline(), options.profile, note);
    start = std::make_unique<RunStart>(config, options, note);
  });
  const std::string chosen = communicator.gather(start && start->checkpoint() ? start->checkpoint()->string() : "")[0];
  std::unique_ptr<InitialWeights> weights;
  if (chosen.empty() && !config.init.empty())
    weights = open_initial_weights(communicator, config.init, config.model, note);
  const int here = ranks_on_machine(communicator);
  run_on_all_ranks(communicator, [&] {  // the other ranks wait, because allocations change the free memory
    if (communicator.local_rank() == 0) check_memory(config, backend, communicator.size(), here);
  });
  run_on_all_ranks(communicator, [&] {
    trainer = with_plan(config, communicator, [&] { return std::make_unique<Trainer>(config, backend, communicator); });
    if (!chosen.empty()) state = trainer->restore(chosen);
    if (weights) {
      const bool named = trainer->batches().tokenizer_hash() != 0;  // by the shards
      check_same_tokenizer(trainer->tokenizer_hash(),
                           named ? "the shards of data.train" : "tokenizer: " + config.tokenizer, weights->tokenizer,
                           "init: " + weights->file.string());
      trainer->load_weights(weights->tensors);
      weights_file = weights->file;
      weights.reset();
    }
  });
  peak = peak_of_all(backend, compute_dtype(config.precision), communicator, note);
  check_same(communicator, "data ", trainer->data_read());
  const std::vector<std::string> devices = communicator.gather(backend.arithmetic());
  // With another `shard`, every weight comes from its owner.
  for (int rank = 1; first && config.shard == ShardMode::none && rank < communicator.size(); ++rank)
    if (devices[rank] != devices[0]) {
      note(fmt::format(
          "warning: rank 0 has {}, rank {} has {}: their sums differ, and with them the ranks' copies of the "
          "weights; run.check_weights_every compares them",
          devices[0], rank, devices[rank]));
      break;
    }
  trainer->check_weights();
  // What the order of summation depends on, besides the config's identity. starts.jsonl has the version anyway.
  const Json place = {{"device", backend.describe()},
                      {"world_size", communicator.size()},
                      {"micro_batch", micro_batch(config.batch, communicator.size())},
                      {"shard", name_of(communicator.size() > 1 ? config.shard : ShardMode::none)}};
  Json origin = place;
  origin["program"] = version();
  std::unique_ptr<RunLog> log;
  StopSignals signals;  // before this point a signal ends the process, because there is nothing to save
  std::string other_text;
  run_on_all_ranks(communicator, [&] {
    if (!first) return;
    other_text = shard_difference(state.value("validation", Json()), trainer->validation_shards());
    start->begin(place, !other_text.empty());
  });
  check_run_is_shared(communicator, dir);
  run_on_all_ranks(communicator, [&] {
    if (!first) return;
    progress.keep_log(dir / "log.txt");
    print_start_page(config, *trainer, backend, communicator, peak, progress);
    log = std::make_unique<RunLog>(config, *trainer, progress, peak, !chosen.empty(), start->evaluates_again(),
                                   state.value("seconds", 0.0));
    for (const std::string& line : trainer->shared_shards()) note("warning: " + line);
    if (config.optimizer.telemetry_every && !trainer->optimizer().has_telemetry()) {
      const auto& groups = config.optimizer.groups;
      const bool measured = std::any_of(groups.begin(), groups.end(), [](const Group& g) { return !g.recipe->adamw; });
      note(fmt::format("optimizer.telemetry_every: {}; run.norms_every writes the norms of each layer",
                       measured ? "telemetry is of whole matrices, and rank 0 updates none"
                                : config.optimizer.rates().recipe + " has no telemetry"));
    }
    if (!backend.fast(compute_dtype(config.precision)))
      note(fmt::format("warning: precision {} is slow here, fp32 is faster; \"auto\" takes the faster one",
                       name_of(config.precision)));
    if (!weights_file.empty()) note(fmt::format("starts from the weights in {}", weights_file.string()));
    if (chosen.empty()) return;
    note(fmt::format("resumed from {}", chosen));
    log->resumed(place);
    if (!other_text.empty())
      note(fmt::format("warning: data.validation: {}; losses before and after step {} are not of the same text",
                       other_text, trainer->steps_done()));
    for (const auto& [key, value] : origin.items())  // checkpoints of earlier versions lack some of these
      if (state.contains(key) && state[key] != value)
        note(
            fmt::format("{} was {} and is now {}: sums may be taken in another order, and the last digits of losses "
                        "then differ from those of an uninterrupted run",
                        key, state[key].dump(), value.dump()));
  });

  const RunConfig& run = config.run;
  const int64_t first_step = trainer->steps_done();
  double last_save = steady_seconds();
  auto wants_to_stop = [&] {
    // max_seconds takes effect after the first step, so a run advances even if its start-up takes longer. If all steps
    // are done, it takes effect at once: only an evaluation and the sample are left.
    const bool late = run.max_seconds && (trainer->steps_done() > first_step || trainer->steps_done() >= run.steps) &&
                      steady_seconds() - began >= static_cast<double>(run.max_seconds);
    return StopSignals::received() != 0 || late;
  };
  trainer->listen([&] {
    const bool save =
        first && run.checkpoint_seconds && steady_seconds() - last_save >= static_cast<double>(run.checkpoint_seconds);
    return Wishes{wants_to_stop(), save};
  });
  auto pause = [&](RunLog::Pause what, const char* phase, const std::function<void()>& work) {
    const Timeline::Phase counted(backend.timeline(), phase);
    first ? log->pause(what, work) : work();
  };
  auto ranks_know = [&](bool of_rank_0) { return communicator.gather(first && of_rank_0 ? "yes" : "")[0] == "yes"; };
  auto due = [&](int64_t every) { return every && trainer->steps_done() % every == 0; };
  auto done = [&] { return trainer->steps_done() >= run.steps; };
  auto evaluate = [&] {
    std::optional<ValidationLosses> validation;
    std::vector<std::pair<std::string, double>> averages;
    std::optional<HellaSwagScore> hellaswag;
    pause(RunLog::Pause::evaluation, "evaluation", [&] {
      validation = trainer->validate([&](double part) {
        if (first) log->evaluating(part);
      });
      averages = trainer->validate_averages();
      hellaswag = trainer->hellaswag();
    });
    if (first) log->evaluation(validation, averages, hellaswag);
  };
  bool warned = false;
  auto warn_once = [&](const std::string& text) {
    if (!std::exchange(warned, true)) note(text);
  };
  auto rotation = [&] {
    return Rotation{run.keep, run.keep_every, run.keep_best && first ? log->best_first() : std::vector<int64_t>(),
                    warn_once};
  };
  if (profile) profile->record();
  int64_t saved = chosen.empty() ? 0 : trainer->steps_done();
  std::string ruined;
  auto save = [&] {
    pause(RunLog::Pause::checkpoint, "checkpoint", [&] {
      Json more = origin;
      more["seconds"] = first ? log->seconds() : 0;
      run_on_all_ranks(communicator, [&] {  // before the files of another owner are touched
        if (first) start->guard();
      });
      ruined = trainer->save(more, rotation(), [&] {
        start->guard();
        log->sync();
      });
    });
    saved = trainer->steps_done();
    last_save = steady_seconds();
    if (first && !ruined.empty() && !done()) note(fmt::format("step {}: {}", saved, ruin_text(config, ruined)));
  };
  auto patience_ends = [&] { return run.patience && ranks_know(first && log->patience_is_over()); };

  auto save_rest = [&] {
    if (saved != trainer->steps_done()) save();
  };
  bool pending = false, skipping = false, early = false, stopped = false;  // pending: a save is due
  try {
    if (run.steps == 0 && chosen.empty()) save();
    const bool evaluation_due = trainer->steps_done() > 0 ? due(run.eval_every) || done() : run.steps == 0;
    if (evaluation_due && ranks_know(first && !log->evaluated())) evaluate();
    early = !done() && patience_ends();
    while (!done() && !early) {
      const StepResult result = with_plan(config, communicator, [&] { return trainer->step(); });
      if (timed_products) timed_products->after_step();
      if (first) log->step(result);
      skipping = !result.skipped.empty();
      const bool evaluates = due(run.eval_every) || done();
      pending = pending || result.save || due(run.checkpoint_every) || due(run.keep_every) ||
                (evaluates && run.keep_best) || done();
      // When an update was skipped, the state may not be sound. A save that is due then waits for the next applied
      // update, the end of the run or a stop.
      if (pending && (!skipping || done())) {
        save();
        pending = false;
      }
      if (result.stop) {
        if (profile) profile->step();
        throw Stopped();
      }
      if (evaluates) evaluate();
      early = !done() && evaluates && patience_ends();
      if (due(run.check_weights_every)) pause(RunLog::Pause::check, "messages", [&] { trainer->check_weights(); });
      if (profile) profile->step();
    }
    if (early) save_rest();
  } catch (const Stopped&) {
    stopped = true;
    save_rest();
  } catch (const DataError&) {
    save_rest();
    throw;
  }
  run_on_all_ranks(communicator, [&] {  // an evaluation may have written rows since the last save
    if (!first) return;
    start->guard();
    log->sync();
  });
  if (!ruined.empty()) fail_on_all("step {}: {}", saved, ruin_text(config, ruined));
  if (stopped) {
    if (first) note(fmt::format("stopped after step {}; the same command continues the run", trainer->steps_done()));
    int code = 0;
    const int mine = StopSignals::received() ? 128 + StopSignals::received() : 0;
    for (const std::string& rank : communicator.gather(std::to_string(mine))) code = std::max(code, std::stoi(rank));
    return code ? code : out_of_time;
  }
  run_on_all_ranks(communicator, [&] {
    if (!first) return;
    // A start that only shows or evaluates what is done may have other settings, which must not cost a checkpoint.
    if (trainer->steps_done() > first_step) rotate_checkpoints(dir / "checkpoints", trainer->steps_done(), rotation());
    if (early) {
      log->ended_by_patience();
      log->sync();
      note(
          start->evaluates_again()
              ? fmt::format("the run had ended after step {}, by run.patience", trainer->steps_done())
              : fmt::format(
                    "ends after step {}: no better validation loss in the last {} evaluations; the best was at step {}",
                    trainer->steps_done(), run.patience, log->best().value_or(0)));
    }
  });
  if (!first) {
    signals.stay();  // a rank that a signal ends now makes the launcher end rank 0, too
    return 0;
  }
  // The sample of a large model may take longer than the ranks wait for each other, so none waits for this page.
  print_end_page(config, log->validation(), *trainer, progress, wants_to_stop);
  if (const std::string text = log->time_text(); !text.empty()) note("time: " + text);
  return 0;
}

}  // namespace

int train(const TrainConfig& config, Backend& backend, Communicator& communicator, const StartOptions& options) {
  // mpirun may connect a rank's stdout to a pseudo-terminal even if the output of mpirun goes to a file, so stderr is
  // tested too.
  Progress progress(config.run.steps, stdout, stderr, is_terminal(stdout) && is_terminal(stderr));
  try {
    return run_to_end(config, backend, communicator, options, progress);
  } catch (const Error& error) {
    progress.keep_error(error.what());
    throw;
  }
}

}  // namespace rowan

#include "sweep/sweep.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstring>
#include <map>
#include <memory>
#include <sstream>
#include <thread>
#include <utility>

#include "base/console.h"
#include "base/error.h"
#include "base/file_kind.h"
#include "base/files.h"
#include "base/folder_lock.h"
#include "run/checkpoint.h"
#include "sweep/ledger.h"
#include "sweep/processes.h"
#include "sweep/view.h"
#include "train/divergence.h"
#include "train/loop.h"
#include "train/signals.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;
using State = RunOutcome::State;

struct LastWords {
  std::string message = {}, line = {};  // the last message of rowan, and the last line, which may be a launcher's

  std::string text() const {
    return !message.empty() ? message : line.empty() ? "no message" : "no message; its log ends with: " + line;
  }
};

// What a log says from byte `begin` on. Earlier attempts wrote what is before it.
LastWords last_words(const fs::path& log, int64_t begin) {
  const std::string text = read_file(log);
  std::istringstream lines(text.substr(std::min(text.size(), static_cast<size_t>(begin))));
  LastWords words;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("rowan: ")) words.message = line.substr(7);
    if (line.find_first_not_of(" \t\r-") != std::string::npos) words.line = one_line(line);
  }
  return words;
}

// Escapes a word for an #SBATCH line, where a backslash removes the special meaning of the next character.
std::string slurm_word(const std::string& text) {
  std::string word;
  for (char c : text) {
    if (std::strchr("\\'\"# \t", c)) word += '\\';
    word += c;
  }
  return word;
}

// Whether an unfinished run with this exit code was stopped, rather than failed.
bool was_stopped(int code) {
  for (int signal : {SIGHUP, SIGINT, SIGTERM, SIGUSR1})
    if (code == 128 + signal) return true;
  return code == 0 || code == out_of_time;
}

bool on_gpu(const SweepConfig& sweep) {
  const TrainConfig config = config_of(sweep, make_run(sweep, first_chosen(sweep), {}, {}));
  return config.device == Device::cuda || (config.device == Device::automatic && !visible_gpus().empty());
}

void check_dir(const SweepConfig& sweep) {
  check_folder(sweep.dir, FolderKind::sweep);
  check_outside_runs(sweep.dir, "dir");
}

// Throws Error if the config of a run sets another number of threads than the one for which cores are assigned. The run
// would follow its config, and leave cores idle or crowd the others.
void check_threads(const SweepConfig& sweep) {
  for (size_t i = 0; i < sweep.cells.size(); ++i) {
    if (!sweep.cells[i].chosen) continue;
    const int threads = config_of(sweep, make_run(sweep, i, {}, {})).threads;
    if (threads && threads != sweep.resources.threads)
      fail(
          "{}: resources.threads: found {}, expected {}, the value of threads in {} or in the settings of the sweep; "
          "make them equal",
          sweep.file, sweep.resources.threads, threads, sweep.cells[i].config);
  }
}

class Sweeper {
  using Clock = std::chrono::steady_clock;

 public:
  Sweeper(const SweepConfig& sweep, const FolderLock& lock, const std::string& program)
      : sweep_(sweep),
        lock_(lock),
        program_(program),
        ledger_(sweep),
        gpu_(on_gpu(sweep)),
        pool_(make_slots({sweep.resources.jobs, sweep.resources.ranks, sweep.resources.threads, gpu_}),
              sweep.resources.ranks > 1),
        view_(sweep.dir, ::isatty(2)) {}

  SweepEnd run() {
    try {
      return run_to_end();
    } catch (...) {
      if (pool_.running()) view_.message("an error ends the sweep: the runs write their checkpoints first");
      throw;
    }
  }

 private:
  SweepEnd run_to_end() {
    StopSignals signals;
    bool asked = false;
    for (look();; std::this_thread::sleep_for(std::chrono::milliseconds(20))) {
      for (auto ended = pool_.poll(); ended; ended = pool_.poll()) ends(*ended);
      if (StopSignals::received() && !asked) {
        asked = true;
        if (pool_.running()) view_.message("asked to stop: the runs write their checkpoints");
        pool_.ask_to_end();
      }
      const bool waits = !asked && start_what_is_open();
      view_.draw(done_, known_, pool_.slots().size());
      if (pool_.running() == 0 && !waits) break;
    }
    if (asked && done_ < known_) end_.signal = StopSignals::received();
    return end_;
  }

  OutcomeOf outcomes() {
    return [this](const SweepRun& run) { return ledger_.outcome(run); };
  }

  // Counts the known and the finished runs of the chosen cells, lists the open runs that are not running, cleans up
  // after finished runs and writes sweep.json.
  void look() {
    const std::vector<SweepRun> known = known_runs(sweep_, outcomes(), Cells::chosen);
    known_ = known.size(), done_ = 0;
    open_.clear();
    for (const SweepRun& run : known) {
      const State state = ledger_.outcome(run).state;
      done_ += state == State::done;
      // A run that was killed after it had written its last file leaves its lock behind. Such a run is not started
      // again, so the lock is removed here.
      if (state == State::done) remove_dead_lock(sweep_.dir / run.name);
      if (state == State::done && !sweep_.keep_checkpoints) fs::remove_all(sweep_.dir / run.name / "checkpoints");
      if (state == State::open && !running_.contains(run.name)) open_.push_back(run);
    }
    ledger_.write_index();
  }

  // Starts open runs on free slots. A run that cannot be started has failed. Returns whether an open run must wait
  // because another process still locks its log. A killed sweep leaves such a process, which may save for minutes.
  bool start_what_is_open() {
    bool waits = false;
    if (!open_.empty() && !pool_.full()) lock_.check();
    for (auto run = open_.begin(); run != open_.end() && !pool_.full();) {
      try {
        const std::unique_ptr<ProcessLog> log = log_of(run->name);
        if (!log) {
          waits = true;
          ++run;
          continue;
        }
        ledger_.write_config(*run);
        pool_.start(run->name, command_of(*run), environment(), *log);
        view_.begins(run->name);
        running_.emplace(run->name, *run);
      } catch (const Error& error) {
        view_.message(fmt::format("{}: failed: {}", run->name, error.what()));
        note_failure(run->name, error.what());
      }
      run = open_.erase(run);
    }
    return waits;
  }

  // A run's log; nullptr if another process locks it, which the first call says. Later calls try at most four times a
  // second.
  std::unique_ptr<ProcessLog> log_of(const std::string& name) {
    const auto next = next_try_.find(name);
    if (next != next_try_.end() && Clock::now() < next->second) return nullptr;
    auto log = std::make_unique<ProcessLog>(ledger_.log(name));
    if (log->locked()) return log;
    if (next == next_try_.end()) view_.message(fmt::format("{}: another process still writes its log; waiting", name));
    next_try_[name] = Clock::now() + std::chrono::milliseconds(250);
    return nullptr;
  }

  std::vector<std::string> command_of(const SweepRun& run) const {
    std::vector<std::string> words;
    const std::string ranks = std::to_string(sweep_.resources.ranks);
    std::istringstream launcher(sweep_.resources.ranks > 1 ? sweep_.resources.launcher : "");
    for (std::string word; launcher >> word;) words.push_back(replaced(word, "{ranks}", ranks));
    words.insert(words.end(), {program_, "train", ledger_.config(run.name).string()});
    return words;
  }

  // Without the first two variables, Open MPI's mpirun may bind every run to the same cores.
  std::vector<std::string> environment() const {
    std::vector<std::string> variables = {"OMPI_MCA_hwloc_base_binding_policy=none",
                                          "PRTE_MCA_hwloc_default_binding_policy=none"};
    if (!gpu_) variables.push_back(fmt::format("OMP_NUM_THREADS={}", sweep_.resources.threads));
    return variables;
  }

  void ends(const ProcessPool::Ended& ended) {
    lock_.check();
    const SweepRun run = running_.at(ended.name);
    running_.erase(ended.name);
    ledger_.forget(ended.name);
    const RunOutcome outcome = ledger_.outcome(run, !ended.signal && ended.code == 0);
    if (outcome.state == State::done) {
      view_.ends(run.name, std::isfinite(outcome.loss) ? fmt::format("{} {:.4f}", sweep_.metric, outcome.loss)
                           : outcome.message.empty()   ? "diverged"
                                                       : "diverged: " + outcome.message);
      fs::remove(ledger_.failed_log(run.name));
    } else if (ended.signal || was_stopped(ended.code) || StopSignals::received()) {
      interrupted(run, ended);
    } else if (const LastWords words = last_words(ledger_.log(run.name), ended.log_begin);
               says_diverged(words.message)) {
      ledger_.diverged(run, words.message);
      view_.ends(run.name, "diverged: " + words.message);
    } else if (++tries_[run.name] <= sweep_.retries) {
      view_.ends(run.name, fmt::format("failed, retrying: {}", words.text()));
    } else {
      fails(run, words.text());
    }
    look();
  }

  // An interrupted run stays open and is started again. If it is interrupted too often, it counts as failed.
  // Interruptions after a signal to the sweep are not counted, nor are ends of run.max_seconds that made progress.
  // After such a signal every unfinished run counts as interrupted, because a launcher that was asked to end may exit
  // with any code.
  void interrupted(const SweepRun& run, const ProcessPool::Ended& ended) {
    const std::string how = ended.signal ? fmt::format("ended by signal {}", ended.signal) : "stopped";
    const bool slice = ended.code == out_of_time && advances(run.name);
    if (StopSignals::received() || slice || ++interruptions_[run.name] < most_interruptions) {
      view_.ends(run.name, how);
      return;
    }
    fails(run, fmt::format("{} for the {}th time", how, most_interruptions));
  }

  // Whether the run has a newer checkpoint than when this was last asked.
  bool advances(const std::string& name) {
    const std::vector<fs::path> checkpoints = list_checkpoints(sweep_.dir / name / "checkpoints");
    const int64_t newest = checkpoints.empty() ? 0 : step_of(checkpoints[0]);
    return newest > std::exchange(reached_[name], newest);
  }

  void fails(const SweepRun& run, const std::string& why) {
    fs::rename(ledger_.log(run.name), ledger_.failed_log(run.name));
    view_.ends(run.name, "failed: " + why);
    note_failure(run.name, why);
  }

  void note_failure(const std::string& name, const std::string& why) {
    ledger_.failed(name);
    end_.failed.push_back(fmt::format("{}: {}", name, why));
  }

  static constexpr int most_interruptions = 10;  // a run that is interrupted this often has failed

  const SweepConfig& sweep_;
  const FolderLock& lock_;
  std::string program_;
  Ledger ledger_;
  bool gpu_;
  ProcessPool pool_;
  SweepView view_;
  std::vector<SweepRun> open_;
  std::map<std::string, SweepRun> running_;
  std::map<std::string, Clock::time_point> next_try_;  // of runs whose log another process locks
  std::map<std::string, int64_t> tries_, interruptions_, reached_;
  size_t done_ = 0, known_ = 0;
  SweepEnd end_;
};

}  // namespace

SweepEnd run_sweep(const SweepConfig& sweep, const std::string& program) {
  check_dir(sweep);
  if (!on_gpu(sweep)) check_threads(sweep);
  make_directories(sweep.dir);
  const FolderLock lock(sweep.dir, "runs this sweep", [](const std::string& text) { tell("rowan: {}\n", text); });
  Ledger(sweep).prepare();
  return Sweeper(sweep, lock, program).run();
}

std::string slurm_script(const SweepConfig& sweep, const std::string& program) {
  check_dir(sweep);
  const bool gpu = config_of(sweep, make_run(sweep, first_chosen(sweep), {}, {})).device != Device::cpu;
  if (!gpu) check_threads(sweep);
  Ledger ledger(sweep);
  ledger.prepare();
  std::string configs;
  size_t count = 0;
  for (const SweepRun& run : open_runs(sweep, [&](const SweepRun& r) { return ledger.outcome(r); })) {
    ledger.write_config(run);
    configs += fmt::format("  {}\n", shell_word(ledger.config(run.name).string()));
    ++count;
  }
  ledger.write_index();
  if (count == 0) fail("{}: found no open run", sweep.file);
  const Resources& resources = sweep.resources;
  const std::string at_once = resources.jobs ? fmt::format("%{}", resources.jobs) : "";
  const fs::path name = fs::absolute(sweep.dir / ".").lexically_normal().parent_path();  // without a slash at the end
  const std::string logs = replaced((sweep.dir / "logs/").string(), "%", "%%");
  return fmt::format(
      "#!/bin/bash\n"
      "# {} of {}: `rowan sweep {} --slurm`. When all have ended, the same command says what is open next.\n"
      "#SBATCH --job-name={}\n#SBATCH --array=0-{}{}\n#SBATCH --ntasks={}\n#SBATCH --cpus-per-task={}\n{}"
      "#SBATCH --output={}\n"
      "#SBATCH --signal=TERM@120\n"
      "configs=(\n{})\n"
      "export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK\n"
      "srun --cpus-per-task=$SLURM_CPUS_PER_TASK {} train \"${{configs[$SLURM_ARRAY_TASK_ID]}}\"\n",
      count == 1 ? "The open run" : fmt::format("The {} open runs", count), sweep.file, sweep.file,
      slurm_word(name.filename().string()), count - 1, at_once, resources.ranks, resources.threads,
      gpu ? "#SBATCH --gpus-per-task=1\n" : "", slurm_word(logs + "slurm-%A_%a.log"), configs, shell_word(program));
}

std::string list_runs(const SweepConfig& sweep) {
  Ledger ledger(sweep);
  const auto outcome = [&](const SweepRun& run) { return ledger.outcome(run); };
  std::string text;
  size_t open = 0;
  const std::vector<SweepRun> runs = known_runs(sweep, outcome, Cells::chosen);
  for (const SweepRun& run : runs) {
    const RunOutcome found = outcome(run);
    const bool begun = fs::exists(sweep.dir / run.name / "metrics.jsonl");
    text += fmt::format("{:<48} {:>8} steps  {}\n", run.name, config_of(sweep, run).run.steps,
                        found.state != State::done  ? (begun ? "begun" : "open")
                        : std::isfinite(found.loss) ? fmt::format("{:.4f}", found.loss)
                                                    : "diverged");
    open += found.state == State::open;
  }
  return text + fmt::format("{} runs are known now, {} are open\n", runs.size(), open);
}

}  // namespace rowan

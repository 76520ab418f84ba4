// Commands are killed and their calls to the system fail, again and again; then the same command goes on and has to end
// with the bytes of one that nothing disturbed.
//
//   campaign [SECONDS [SEED]]   for so long (60), but every kind of trouble once
//
// Prints how many kills and faults there were and what was lost. Exit code 1 when anything was.
#include <fmt/core.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <thread>

#include "base/json.h"
#include "base/random.h"
#include "paths.h"
#include "run/metrics.h"
#include "small_run.h"
#include "text_files.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using Contents = std::map<std::string, std::string>;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// What a command leaves: all that no clock decides.
Contents contents(const fs::path& folder) {
  Contents files;
  if (!fs::exists(folder)) return files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const fs::path path = fs::relative(entry.path(), folder);
    const std::string name = path.filename().string(), top = path.begin()->string();
    if (!entry.is_regular_file() || top == "tensorboard" || top.starts_with("earlier-") || name == "log.txt" ||
        name == "starts.jsonl" || name == "loss.svg" || name == "manifest.json" || name == "state.json")
      continue;
    std::string& content = files[path.string()];
    if (name != "metrics.jsonl") {
      content = read_file(entry.path());
      continue;
    }
    for (Json row : read_metrics(entry.path(), [&](const std::string& text) { content += text; })) {
      if (row.contains("resume")) continue;
      for (const char* key : {"tokens_per_second", "mfu", "seconds"}) row.erase(key);
      const Json all = row;
      for (const auto& [key, value] : all.items())
        if (key.starts_with("time/")) row.erase(key);
      content += row.dump() + "\n";
    }
  }
  return files;
}

struct Command {
  std::string name;
  fs::path out;  // the folder it writes
  std::vector<std::string> words;
  bool faults = true;                // whether its system calls can be made to fail one by one
  std::function<void()> clear = {};  // what a fresh attempt needs
  Contents undisturbed = {};
  double seconds = 0;
  std::map<std::string, long> calls = {};
};

class Campaign {
 public:
  Campaign(double seconds, uint64_t seed) : seconds_(seconds), random_(seed, 0) {
    dir_ = fs::temp_directory_path() / fmt::format("rowan_campaign_{}", ::getpid());
    fs::create_directories(dir_);
    fmt::print("campaign: seed {}, {} s\n", seed, seconds);
  }
  ~Campaign() { fs::remove_all(dir_); }

  int run() {
    std::vector<Command> commands = make_commands();
    for (Command& command : commands) measure(command);
    for (int round = 0; round == 0 || seconds_since(start_) < seconds_; ++round)
      for (Command& command : commands) {
        kill_at_random_moments(command, 2);
        if (command.faults) fail_calls(command, round);
        if (round > 0 && seconds_since(start_) >= seconds_) break;
      }
    fmt::print("campaign: {} kills, {} faults, {} lost, {:.0f} s\n", kills_, faults_, lost_, seconds_since(start_));
    return lost_ ? 1 : 0;
  }

 private:
  std::vector<Command> make_commands() {
    write_small_shard(dir_ / "train.bin", 3001);
    write_small_shard(dir_ / "validation.bin", 601);
    const Json config = {
        {"model", small_llama()},
        {"tokenizer", "bytes"},
        {"data", {{"train", (dir_ / "train.bin").string()}, {"validation", (dir_ / "validation.bin").string()}}},
        {"batch", {{"sequences", 4}, {"sequence_length", 16}, {"micro_batch", 1}}},
        {"optimizer", {{"name", "muon-moonlight"}, {"lr", 0.01}}},
        {"schedule", {{"warmup_steps", 2}}},
        {"device", "cpu"},
        {"threads", 1},
        {"run",
         {{"dir", "set below"},
          {"steps", 12},
          {"log_every", 1},
          {"eval_every", 3},
          {"checkpoint_every", 2},
          {"keep", 2}}}};
    write_file_atomically(dir_ / "config.json", config.dump(2));
    write_small_run(dir_ / "exported", small_llama());
    write_file_atomically(dir_ / "text.jsonl", random_json_lines(1, 400));

    const std::string train = (dir_ / "config.json").string();
    std::vector<Command> commands = {
        {"train", dir_ / "run", {rowan_binary(), "train", train, "--set", "run.dir=" + (dir_ / "run").string()}},
        {"tokenize",
         dir_ / "shards",
         {rowan_binary(), "tokenize", "--tokenizer", "bytes", "--shard-tokens", "20000", "--validation", "every:50",
          "--save-seconds", "0", "--out", (dir_ / "shards").string(), (dir_ / "text.jsonl").string()}},
        {"export",
         dir_ / "export",
         {rowan_binary(), "export", (dir_ / "exported").string(), (dir_ / "export").string()}}};
    std::istringstream launcher(mpirun());
    Command ranks{"train on 2 ranks", dir_ / "ranks", {}, false};
    for (std::string word; launcher >> word;) ranks.words.push_back(word);
    if (!ranks.words.empty()) {
      for (const std::string& word : {std::string("-n"), std::string("2"), rowan_binary(), std::string("train")})
        ranks.words.push_back(word);
      for (const std::string& word : {train, std::string("--set"), "run.dir=" + ranks.out.string()})
        ranks.words.push_back(word);
      commands.push_back(ranks);
    }
    return commands;
  }

  pid_t start(const Command& command, const std::vector<std::string>& environment = {}) {
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child != 0) return child;
    ::setpgid(0, 0);
    for (const std::string& variable : environment) ::putenv(const_cast<char*>(variable.c_str()));
    const std::string log = (dir_ / "log").string();
    if (!std::freopen(log.c_str(), "w", stdout) || !std::freopen(log.c_str(), "a", stderr)) ::_exit(126);
    std::vector<char*> argv;
    for (const std::string& word : command.words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  // The exit code, or minus the signal.
  static int ended(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  void lose(const Command& command, const std::string& what) {
    ++lost_;
    fmt::print("campaign: LOST: {}: {}\n{}\n", command.name, what, read_file(dir_ / "log"));
    fs::remove_all(command.out);
  }

  void measure(Command& command) {
    const auto begin = Clock::now();
    const fs::path count = dir_ / "counts";
    const int code = ended(
        start(command, command.faults ? shim({"ROWAN_FAULT_COUNT=" + count.string()}) : std::vector<std::string>()));
    command.seconds = seconds_since(begin);
    if (code != 0) return lose(command, fmt::format("undisturbed it ends with {}", code));
    command.undisturbed = contents(command.out);
    std::ifstream lines(count);
    std::string name;
    for (long number; command.faults && lines >> name >> number;) command.calls[name] = number;
    fs::remove_all(command.out);
  }

  std::vector<std::string> shim(std::vector<std::string> more) {
    more.push_back("LD_PRELOAD=" +
                   (fs::path(rowan_binary()).parent_path() / "tests/campaign/libcampaign_faults.so").string());
    more.push_back("ROWAN_FAULT_DIR=" + dir_.string());
    return more;
  }

  // The same command, undisturbed: it has to end well and leave what it would have left at once.
  void finish(const Command& command, const std::string& trouble) {
    const int code = ended(start(command));
    if (code != 0) return lose(command, fmt::format("{}: then it ends with {}", trouble, code));
    const Contents now = contents(command.out);
    for (const auto& [name, content] : command.undisturbed)
      if (!now.contains(name) || now.at(name) != content)
        return lose(command, fmt::format("{}: {} {}", trouble, name, now.contains(name) ? "differs" : "is missing"));
    for (const auto& [name, content] : now)
      if (!command.undisturbed.contains(name)) return lose(command, fmt::format("{}: {} is left", trouble, name));
    fs::remove_all(command.out);
  }

  void kill_at_random_moments(const Command& command, int times) {
    for (int i = 0; i < times; ++i) {
      const pid_t child = start(command);
      std::this_thread::sleep_for(std::chrono::duration<double>(command.seconds * random_.uniform()));
      ::kill(child, SIGKILL);
      const int code = ended(child);
      kills_ += code == -SIGKILL;
      if (code != -SIGKILL && code != 0) return lose(command, fmt::format("before the kill it ended with {}", code));
    }
    finish(command, "killed");
  }

  // A few calls a round, others in every round: sooner or later all.
  void fail_calls(const Command& command, int round) {
    for (const auto& [call, total] : command.calls) {
      if (total == 0) continue;
      const long number = 1 + static_cast<long>(random_.below(static_cast<uint64_t>(total)));
      static const char* const how[] = {"full", "5", "kill", "28"};
      strike(command, fmt::format("{}:{}:{}", call, number,
                                  call == "write" || how[round % 4] != std::string("full") ? how[round % 4] : "122"));
    }
  }

  void strike(const Command& command, const std::string& fault) {
    const int code = ended(start(command, shim({"ROWAN_FAULT=" + fault})));
    (code == -SIGKILL ? kills_ : faults_) += 1;
    // Nothing else ends a command than a mistake that it names; what it can do without, it may.
    if (code != 0 && code != 2 && code != -SIGKILL)
      return lose(command, fmt::format("{}: it ends with {}", fault, code));
    finish(command, fault);
  }

  double seconds_;
  Random random_;
  fs::path dir_;
  Clock::time_point start_ = Clock::now();
  int kills_ = 0, faults_ = 0, lost_ = 0;
};

}  // namespace
}  // namespace rowan

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 60;
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : static_cast<uint64_t>(::getpid());
  return rowan::Campaign(seconds, seed).run();
}

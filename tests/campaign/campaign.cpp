// Kills a command or makes one of its system calls fail. Then runs the same command once more without faults. The
// results must then equal the results of an undisturbed command. contents() says which files are compared.
//
//   campaign [SECONDS [SEED [COMMAND...]]]   runs for SECONDS (60), but at least one round over the commands
//   campaign every [COMMAND[:CALL]...]       tries faults at each counted call of COMMAND, or at each CALL; takes hours
//
// COMMAND: train, ranks, tokenize, eval, export, replace (an export over an older one) or sweep; all by default.
// CALL: open, write, fsync, rename or remove.
// Prints the number of kills and faults, and each loss. A loss is a wrong exit code, or a result that differs. The exit
// code is 1 if there was a loss.
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include "base/json.h"
#include "base/random.h"
#include "event_steps.h"
#include "exit_code.h"
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

// Stands for the curves of a run that could not write its events and has said so.
const std::string ended_events = "ended early";

// The steps that TensorBoard shows of a run.
std::string events_of(const fs::path& run) {
  const fs::path log = run / "log.txt";
  if (fs::exists(log) && read_file(log).find("no more events for TensorBoard") != std::string::npos)
    return ended_events;
  try {
    return fmt::format("{}", fmt::join(steps_shown(run / "tensorboard", "train/loss"), " "));
  } catch (const std::logic_error& error) {
    return error.what();
  }
}

// The files of a folder and their contents, without files and values that may differ between equal runs. Events of
// TensorBoard are compared by the steps that are shown.
Contents contents(const fs::path& folder) {
  Contents files;
  if (!fs::exists(folder)) return files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const fs::path path = fs::relative(entry.path(), folder);
    const std::string name = path.filename().string();
    const bool aside = std::any_of(path.begin(), path.end(), [](const fs::path& part) {
      return part == "logs" || part.string().starts_with("earlier-");
    });
    if (!aside && name == "tensorboard") files[path.string()] = events_of(entry.path().parent_path());
    if (!entry.is_regular_file() || aside || path.parent_path().filename() == "tensorboard" || name == "log.txt" ||
        name == "starts.jsonl" || name == "loss.svg" || name == "report.html" || name == "manifest.json")
      continue;
    std::string& content = files[path.string()];
    if (name == "state.json") {
      Json state = try_parse_json(read_file(entry.path()));
      for (const char* key : {"seconds", "device"})
        if (state.is_object()) state.erase(key);
      content = state.dump();
      continue;
    }
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
  fs::path out;  // the folder whose content is compared
  std::vector<std::string> words;
  bool faults = true;                  // whether the command's system calls can be made to fail one by one
  bool prints = false;                 // whether the command's standard output is part of the result
  std::function<void()> prepare = {};  // writes the content that `out` has before the command runs
  // The content of `out` before the command runs. If `prepare` is set and a fault ends the command, `out` must hold
  // either all of this content or all of the new content.
  Contents before = {};
  Contents undisturbed = {};
  double seconds = 0;
  std::map<std::string, long> calls = {};
};

class Campaign {
 public:
  Campaign(double seconds, uint64_t seed) : seconds_(seconds), random_(seed, 0) {
    // The preloaded library compares paths without symbolic links.
    dir_ = fs::canonical(fs::temp_directory_path()) / fmt::format("rowan_campaign_{}", ::getpid());
    fs::create_directories(dir_);
    fmt::print("campaign: seed {}, {} s\n", seed, seconds);
  }
  ~Campaign() { fs::remove_all(dir_); }

  // Runs the campaign on the commands with these names, or on all commands if there are no names. Returns the exit
  // code.
  int run(const std::vector<std::string>& names, bool every) {
    std::vector<Command> commands;
    for (Command& command : make_commands()) {
      std::set<std::string> wanted;  // names of calls, or "" for all
      for (const std::string& name : names)
        if (name.substr(0, name.find(':')) == command.name) wanted.insert(name.substr(command.name.size()));
      if (wanted.empty() && !names.empty()) continue;
      measure(command);
      if (!wanted.empty() && !wanted.contains(""))
        std::erase_if(command.calls, [&](const auto& call) { return !wanted.contains(":" + call.first); });
      commands.push_back(std::move(command));
    }
    if (every) {
      for (Command& command : commands) fail_every_call(command);
      return report();
    }
    for (int round = 0; round == 0 || seconds_since(start_) < seconds_; ++round)
      for (Command& command : commands) {
        kill_at_random_moments(command, 2);
        if (command.faults) fail_calls(command, round);
        if (round > 0 && seconds_since(start_) >= seconds_) break;
      }
    return report();
  }

 private:
  int report() const {
    fmt::print("campaign: {} kills, {} faults, {} lost, {:.0f} s\n", kills_, faults_, lost_, seconds_since(start_));
    return lost_ ? 1 : 0;
  }

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

    const std::string train = (dir_ / "config.json").string(), run = (dir_ / "exported").string();
    std::vector<Command> commands = {
        {"train", dir_ / "run", {rowan_binary(), "train", train, "--set", "run.dir=" + (dir_ / "run").string()}},
        {"tokenize",
         dir_ / "shards",
         {rowan_binary(), "tokenize", "--tokenizer", "bytes", "--shard-tokens", "20000", "--validation", "every:50",
          "--save-seconds", "0", "--out", (dir_ / "shards").string(), (dir_ / "text.jsonl").string()}},
        {"export", dir_ / "export", {rowan_binary(), "export", run, (dir_ / "export").string()}},
        evaluation(),
        replacement(run),
        sweep(config)};
    std::istringstream launcher(mpirun());
    Command ranks{.name = "ranks", .out = dir_ / "ranks", .words = {}, .faults = false};
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

  // `rowan eval` writes no file, so the run must not change, and the output must be the same.
  Command evaluation() {
    const fs::path run = dir_ / "evaluated";
    return {
        .name = "eval", .out = run, .words = {rowan_binary(), "eval", run.string()}, .prints = true, .prepare = [run] {
          write_small_run(run, small_llama());
        }};
  }

  // Exports a model over the export of another model.
  Command replacement(const std::string& run) {
    write_small_run(dir_ / "older", small_gpt2());
    const Command older{
        .name = "older export",
        .out = dir_ / "older_export",
        .words = {rowan_binary(), "export", (dir_ / "older").string(), (dir_ / "older_export").string()}};
    if (ended(start(older)) != 0) lose(older, "it fails");
    const fs::path from = older.out, to = dir_ / "replaced";
    return {.name = "replace", .out = to, .words = {rowan_binary(), "export", run, to.string()}, .prepare = [from, to] {
              fs::copy(from, to, fs::copy_options::recursive);
            }};
  }

  Command sweep(Json base) {
    // When a sweep is killed, its runs save a checkpoint at once. With `keep` above 1, this checkpoint would change
    // which other checkpoints remain.
    base["run"].update({{"steps", 6}, {"eval_every", 6}, {"keep", 1}});
    write_file_atomically(dir_ / "base.json", base.dump(2));
    const fs::path out = dir_ / "swept";
    const Json file = {{"base", "base.json"},
                       {"dir", out.string()},
                       {"axes", {{"optimizer", {{"rmnp", {{"optimizer", {{"name", "rmnp"}}}}}}}}},
                       {"seeds", {1, 2}},
                       {"resources", {{"jobs", 2}}}};
    write_file_atomically(dir_ / "sweep.json", file.dump(2));
    return {.name = "sweep",
            .out = out,
            .words = {rowan_binary(), "sweep", (dir_ / "sweep.json").string()},
            .prints = true};
  }

  pid_t start(const Command& command, const std::vector<std::string>& environment = {}) {
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child != 0) return child;
    ::setpgid(0, 0);
    for (const std::string& variable : environment) ::putenv(const_cast<char*>(variable.c_str()));
    const std::string out = (dir_ / "stdout").string(), log = (dir_ / "log").string();
    if (!std::freopen(out.c_str(), "w", stdout) || !std::freopen(log.c_str(), "w", stderr)) ::_exit(126);
    std::vector<char*> argv;
    for (const std::string& word : command.words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  // Returns the exit code, or minus the signal.
  static int ended(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return exit_code(status);
  }

  void lose(const Command& command, const std::string& what) {
    ++lost_;
    fmt::print("campaign: LOST: {}: {}\n{}\n", command.name, what, read_file(dir_ / "log"));
    std::fflush(stdout);
    begin_anew(command);
  }

  static void begin_anew(const Command& command) {
    fs::remove_all(command.out);
    if (command.prepare) command.prepare();
  }

  Contents results(const Command& command) const {
    Contents found = contents(command.out);
    if (command.prints) found["(standard output)"] = read_file(dir_ / "stdout");
    return found;
  }

  void measure(Command& command) {
    begin_anew(command);
    command.before = contents(command.out);
    const auto begin = Clock::now();
    const fs::path count = dir_ / "counts";
    fs::remove(count);
    const int code = ended(
        start(command, command.faults ? shim({"ROWAN_FAULT_COUNT=" + count.string()}) : std::vector<std::string>()));
    command.seconds = seconds_since(begin);
    if (code != 0) return lose(command, fmt::format("undisturbed, the command ends with {}", code));
    command.undisturbed = results(command);
    std::ifstream lines(count);
    std::string name;
    long all = 0;
    for (long number; command.faults && lines >> name >> number; all += number) command.calls[name] = number;
    if (command.faults && all == 0) return lose(command, "the preloaded library counted no call");
    begin_anew(command);
  }

  std::vector<std::string> shim(std::vector<std::string> more) {
    more.push_back("LD_PRELOAD=" +
                   (fs::path(rowan_binary()).parent_path() / "tests/campaign/libcampaign_faults.so").string());
    more.push_back("ROWAN_FAULT_DIR=" + dir_.string());
    return more;
  }

  // Runs the same command without faults. It must succeed and leave what an undisturbed command leaves.
  void finish(const Command& command, const std::string& trouble) {
    const int code = ended(start(command));
    if (code != 0) return lose(command, fmt::format("{}: the run after the fault ends with {}", trouble, code));
    const std::string difference = difference_of(command.undisturbed, results(command));
    if (!difference.empty()) return lose(command, fmt::format("{}: {}", trouble, difference));
    begin_anew(command);
  }

  static std::string difference_of(const Contents& expected, const Contents& now) {
    for (const auto& [name, content] : expected)
      if (!now.contains(name) || (now.at(name) != content && now.at(name) != ended_events))
        return fmt::format("{} {}", name, now.contains(name) ? "differs" : "is missing");
    for (const auto& [name, content] : now)
      if (!expected.contains(name)) return name + " is left over";
    return "";
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

  // For each kind of call: makes one random call fail, or kills the command in that call. `round` selects the kind of
  // failure.
  void fail_calls(const Command& command, int round) {
    for (const auto& [call, total] : command.calls) {
      if (total == 0) continue;
      const long number = 1 + static_cast<long>(random_.below(static_cast<uint64_t>(total)));
      static const char* const how[] = {"full", "5", "kill", "28"};
      strike(command, fmt::format("{}:{}:{}", call, number,
                                  call == "write" || how[round % 4] != std::string("full") ? how[round % 4] : "122"));
    }
  }

  void fail_every_call(const Command& command) {
    for (const auto& [call, total] : command.calls) {
      for (long number = 1; number <= total; ++number)
        for (const char* how : {"full", "5", "kill"})
          if (call == "write" || how != std::string("full"))
            strike(command, fmt::format("{}:{}:{}", call, number, how));
      fmt::print("campaign: {}, {} calls of {}: {} kills, {} faults, {} lost so far, {:.0f} s\n", command.name, total,
                 call, kills_, faults_, lost_, seconds_since(start_));
      std::fflush(stdout);
    }
  }

  void strike(const Command& command, const std::string& fault) {
    const int code = ended(start(command, shim({"ROWAN_FAULT=" + fault})));
    (code == -SIGKILL ? kills_ : faults_) += 1;
    // A command that is not killed must either exit with code 2 or succeed.
    if (code != 0 && code != 2 && code != -SIGKILL)
      return lose(command, fmt::format("{}: the command ends with {}", fault, code));
    if (command.prepare && code != 0) {  // either all of the old content or all of the new
      Contents now = contents(command.out);
      now.erase("lock");
      if (!difference_of(command.before, now).empty() && !difference_of(command.undisturbed, now).empty())
        return lose(command, fmt::format("{}: neither the old nor the new content: {}, {}", fault,
                                         difference_of(command.before, now), difference_of(command.undisturbed, now)));
    }
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
  std::vector<std::string> words(argv + 1, argv + argc);
  const bool every = !words.empty() && words[0] == "every";
  const double seconds = words.empty() || every ? 60 : std::atof(words[0].c_str());
  const bool seeded = words.size() > 1 && !every;
  const uint64_t seed = seeded ? std::strtoull(words[1].c_str(), nullptr, 10) : static_cast<uint64_t>(::getpid());
  const size_t options = words.empty() ? 0 : seeded ? 2 : 1;
  words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(options));
  return rowan::Campaign(seconds, seed).run(words, every);
}

#include "sweep/processes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <thread>

#include "base/error.h"

namespace rowan {

std::vector<std::string> visible_gpus() {
  std::vector<std::string> gpus;
  if (const char* chosen = std::getenv("CUDA_VISIBLE_DEVICES")) {
    std::istringstream list(chosen);
    for (std::string item; std::getline(list, item, ',');) {
      item.erase(0, item.find_first_not_of(' '));
      item.erase(item.find_last_not_of(' ') + 1);
      const bool number = !item.empty() && item.find_first_not_of("0123456789") == std::string::npos;
      if (!number && !item.starts_with("GPU-") && !item.starts_with("MIG-")) break;
      gpus.push_back(item);
    }
    return gpus;
  }
  std::error_code none;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/driver/nvidia/gpus", none))
    gpus.push_back(std::to_string(gpus.size()));
  return gpus;
}

std::vector<Slot> make_slots(const SlotWish& wish) {
  std::vector<int> cores;
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  const std::vector<std::string> gpus = wish.gpu ? visible_gpus() : std::vector<std::string>();
  const auto have = static_cast<int64_t>(wish.gpu ? gpus.size() : cores.size());
  const int64_t takes = wish.gpu ? wish.ranks : wish.ranks * wish.threads, fit = have / takes;
  if (wish.gpu && fit == 0)
    fail("resources.ranks: found {}, expected at most {}, the number of GPUs", wish.ranks, have);
  const int64_t jobs = wish.jobs ? wish.jobs : std::max<int64_t>(fit, 1);
  if (wish.gpu && jobs > fit)
    fail("resources.jobs: found {}, expected at most {}: a run takes {} of {} GPUs", jobs, fit, wish.ranks, have);
  std::vector<Slot> slots(static_cast<size_t>(jobs));
  for (size_t i = 0; i < slots.size(); ++i) {
    const auto part = [&](const auto& all) {
      const auto begin = all.begin() + static_cast<int64_t>(i) * takes;
      return std::vector(begin, begin + takes);
    };
    if (wish.gpu)
      slots[i].gpus = part(gpus);
    else if (jobs <= fit && jobs > 1)
      slots[i].cores = part(cores);
  }
  return slots;
}

// flock() locks the open file description, which a process that writes to it and its children share. The lock is
// released when the last of these processes has ended or closed the file.
ProcessLog::ProcessLog(const std::filesystem::path& path)
    : file_(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0666)) {
  if (file_ < 0) fail("cannot write {}: {}", path.string(), std::strerror(errno));
  locked_ = ::flock(file_, LOCK_EX | LOCK_NB) == 0;
  if (const int code = errno; !locked_ && code != EWOULDBLOCK) {
    ::close(file_);
    fail("cannot lock {}: {}", path.string(), std::strerror(code));
  }
  size_ = ::lseek(file_, 0, SEEK_END);
}

ProcessLog::~ProcessLog() { ::close(file_); }

// A parent may have left SIGCHLD ignored. The kernel would then keep no exit codes, and waitpid() would find no
// process.
ProcessPool::ProcessPool(std::vector<Slot> slots, bool launched)
    : slots_(std::move(slots)), launched_(launched), busy_(slots_.size()) {
  std::signal(SIGCHLD, SIG_DFL);
}

// The processes may need minutes for their checkpoints.
ProcessPool::~ProcessPool() {
  using Clock = std::chrono::steady_clock;
  ask_to_end();
  for (const auto end = Clock::now() + std::chrono::minutes(10); running() > 0 && Clock::now() < end;)
    if (!poll()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  for (const Process& process : busy_) {
    if (!process.pid) continue;
    ::kill(-process.pid, SIGKILL);
    ::waitpid(process.pid, nullptr, 0);
  }
}

size_t ProcessPool::running() const {
  return static_cast<size_t>(std::count_if(busy_.begin(), busy_.end(), [](const Process& p) { return p.pid != 0; }));
}

namespace {

// Runs in the child process; never returns.
[[noreturn]] void become(const std::vector<std::string>& command, const std::vector<std::string>& environment,
                         const Slot& slot, int log, pid_t parent, int death_signal) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, death_signal);
  if (::getppid() != parent) ::_exit(1);  // the parent ended before prctl()
  for (int signal : {SIGINT, SIGTERM, SIGUSR1, SIGPIPE}) std::signal(signal, SIG_DFL);
  if (!slot.cores.empty()) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int core : slot.cores) CPU_SET(core, &set);
    ::sched_setaffinity(0, sizeof set, &set);
  }
  if (!slot.gpus.empty()) ::setenv("CUDA_VISIBLE_DEVICES", fmt::format("{}", fmt::join(slot.gpus, ",")).c_str(), 1);
  for (const std::string& variable : environment) ::putenv(const_cast<char*>(variable.c_str()));
  const int input = ::open("/dev/null", O_RDONLY);
  ::dup2(input, 0);
  ::dup2(log, 1);
  ::dup2(log, 2);
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  ::execvp(words[0], words.data());
  const std::string text = fmt::format("rowan: cannot start {}: {}\n", command[0], std::strerror(errno));
  [[maybe_unused]] const ssize_t written = ::write(2, text.data(), text.size());
  ::_exit(127);
}

}  // namespace

void ProcessPool::start(const std::string& name, const std::vector<std::string>& command,
                        const std::vector<std::string>& environment, const ProcessLog& log) {
  const auto free = std::find_if(busy_.begin(), busy_.end(), [](const Process& p) { return p.pid == 0; });
  const pid_t parent = ::getpid(), pid = ::fork();
  if (pid == 0)
    become(command, environment, slots_[static_cast<size_t>(free - busy_.begin())], log.file(), parent, stop_signal());
  if (pid < 0) fail("cannot start a process: {}", std::strerror(errno));
  ::setpgid(pid, pid);
  *free = {pid, name, log.size()};
}

std::optional<ProcessPool::Ended> ProcessPool::poll() {
  for (Process& process : busy_) {
    int status = 0;
    if (!process.pid || ::waitpid(process.pid, &status, WNOHANG) != process.pid) continue;
    Ended ended{process.name, WIFEXITED(status) ? WEXITSTATUS(status) : 0, WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                process.log_begin};
    process = {};
    return ended;
  }
  return {};
}

int ProcessPool::stop_signal() const { return launched_ ? SIGUSR1 : SIGTERM; }

void ProcessPool::ask_to_end() {
  for (const Process& process : busy_)
    if (process.pid) ::kill(launched_ ? process.pid : -process.pid, stop_signal());
}

}  // namespace rowan

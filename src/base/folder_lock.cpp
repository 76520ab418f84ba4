#include "base/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <optional>
#include <sstream>

#include "base/error.h"
#include "base/file_identity.h"
#include "base/files.h"
#include "base/json.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// The kernel's id of the current boot; "" if the kernel provides none.
std::string boot_id() {
  std::error_code error;
  const char* file = "/proc/sys/kernel/random/boot_id";
  return fs::exists(file, error) ? read_file(file) : "";
}

// The start time of a process in ticks since boot; "" if there is no such process. The start time distinguishes
// processes that had the same process id at different times.
std::string start_of(int64_t process) {
  const std::string file = fmt::format("/proc/{}/stat", process);
  std::error_code error;
  if (!fs::exists(file, error)) return "";
  try {
    std::string stat = read_file(file);
    std::istringstream fields(stat.substr(stat.rfind(')') + 1));  // the program's name may contain ')'
    std::string field;
    for (int i = 3; i <= 22; ++i) fields >> field;
    return field;
  } catch (const Error&) {  // the process has ended meanwhile
    return "";
  }
}

std::string local_time() {
  char text[32] = "";
  const std::time_t now = std::time(nullptr);
  std::tm parts = {};
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", ::localtime_r(&now, &parts));
  return text;
}

std::string machine() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "localhost";
}

struct Owner {
  std::string host, boot, start, since;
  int64_t process = 0;

  std::string text() const { return fmt::format("process {} on {} since {}", process, host, since); }
};

std::string read_all(int fd) {
  std::string text(4096, '\0');
  const ssize_t got = ::pread(fd, text.data(), text.size(), 0);
  text.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
  return text;
}

// The owner named in the text of a lock file; nullopt if the text is not a JSON object, for example because a full disk
// truncated it.
std::optional<Owner> owner_in(const std::string& text) {
  const Json json = try_parse_json(text);
  if (!json.is_object()) return {};
  auto field = [&](const char* key) {
    return json.contains(key) && json[key].is_string() ? json[key].get<std::string>() : std::string();
  };
  Owner owner{field("host"), field("boot"), field("start"), field("since"), 0};
  if (json.contains("process") && json["process"].is_number_integer()) owner.process = json["process"].get<int64_t>();
  return owner;
}

// The modification time of the file in milliseconds since 1970, or -1 if the file cannot be opened. The file is opened
// each time, because a network file system may answer from its cache for a file that is already open.
int64_t changed_at(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return -1;
  struct stat info = {};
  const bool found = ::fstat(fd, &info) == 0;
  ::close(fd);
  return found ? info.st_mtim.tv_sec * 1000 + info.st_mtim.tv_nsec / 1000000 : -1;
}

// The current time of the file system's clock in milliseconds since 1970. This machine's clock may differ from that
// clock.
int64_t time_in(const fs::path& folder) {
  const fs::path probe = folder / fmt::format("lock.{}.{}.part", machine(), ::getpid());
  const int fd = ::open(probe.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0) fail("cannot create {}: {}", probe.string(), std::strerror(errno));
  ::close(fd);
  const int64_t now = changed_at(probe);
  ::unlink(probe.c_str());
  return now;
}

bool is_of_this_machine(const Owner& owner) { return owner.boot == boot_id() && owner.host == machine(); }

// For an owner on this machine: whether its process still runs.
bool runs(const Owner& owner) { return !owner.start.empty() && start_of(owner.process) == owner.start; }

// Milliseconds until an owner on another machine counts as dead, if its last heartbeat was at the time `heard`. If
// clocks differ or the folder was copied, `heard` may lie in the future. The current time is then used instead.
int64_t time_left(const fs::path& folder, int64_t heard, milliseconds stale) {
  return std::min(heard - time_in(folder), int64_t{0}) + stale.count();
}

[[noreturn]] void refuse(const fs::path& path, const std::string& work, const Owner& owner) {
  fail("{}: another process {}: {}; wait for it or stop it", path.parent_path().string(), work, owner.text());
}

// Waits for the next heartbeat of an owner on another machine. Throws Error if a heartbeat comes, because the owner is
// then alive. Otherwise returns when the owner counts as dead.
void outwait(const fs::path& path, const std::string& work, const Owner& owner, milliseconds stale,
             const std::function<void(const std::string&)>& note) {
  const int64_t heard = changed_at(path);
  const int64_t left = time_left(path.parent_path(), heard, stale);
  if (left <= 0) return;
  note(fmt::format("{}: held by {}, last heartbeat {} s ago; waiting up to {} s for the next one",
                   path.parent_path().string(), owner.text(), (stale.count() - left) / 1000, (left + 999) / 1000));
  for (const auto end = Clock::now() + milliseconds(left); Clock::now() < end;) {
    std::this_thread::sleep_for(std::min(milliseconds(500), stale / 20));
    if (changed_at(path) != heard) refuse(path, work, owner);
  }
}

}  // namespace

FolderLock::FolderLock(const fs::path& folder, std::string work, const std::function<void(const std::string&)>& note,
                       LockPace pace)
    : path_(folder / "lock"), work_(std::move(work)) {
  std::optional<Clock::time_point> patient_until;
  bool locked = false;
  while (true) {
    fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd_ < 0 && errno == ENOENT && patient_until)
      fail("{}: the process that held it has ended, and has renamed or removed the folder", folder.string());
    if (fd_ < 0) fail("cannot open {}: {}", path_.string(), std::strerror(errno));
    locked = ::flock(fd_, LOCK_EX | LOCK_NB) == 0;
    // Errors other than EWOULDBLOCK may mean that the file system does not support flock(). The text of the lock file
    // then tells whether another process holds the lock.
    const bool held = !locked && errno == EWOULDBLOCK;
    if (!held && is_open_file(path_, fd_)) break;
    const Owner owner = owner_in(read_all(fd_)).value_or(Owner{"an unknown machine", "", "", "a moment ago", 0});
    ::close(fd_);
    if (!held) continue;  // the lock file was just removed or replaced
    if (!patient_until) {
      patient_until = Clock::now() + pace.patience;
      note(fmt::format("{}: held by {}; waiting a moment for that process to end", folder.string(), owner.text()));
    }
    if (Clock::now() > *patient_until) refuse(path_, work_, owner);
    std::this_thread::sleep_for(milliseconds(50));
  }
  try {
    if (const std::optional<Owner> owner = owner_in(read_all(fd_))) {
      if (!is_of_this_machine(*owner))
        outwait(path_, work_, *owner, pace.stale, note);
      else if (!locked && runs(*owner))
        refuse(path_, work_, *owner);
    }
    mine_ = Json{{"host", machine()},
                 {"process", ::getpid()},
                 {"start", start_of(::getpid())},
                 {"boot", boot_id()},
                 {"since", local_time()}}
                .dump() +
            "\n";
    errno = ENOSPC;  // a short write sets no errno and means a full disk
    if (::ftruncate(fd_, 0) != 0 ||
        ::pwrite(fd_, mine_.data(), mine_.size(), 0) != static_cast<ssize_t>(mine_.size())) {
      const int code = errno;
      ::unlink(path_.c_str());
      fail("cannot write {}: {}", path_.string(), std::strerror(code));
    }
  } catch (...) {
    ::close(fd_);
    throw;
  }
  heart_ = std::thread([this, interval = pace.heartbeat] { beat(interval); });
}

FolderLock::~FolderLock() {
  {
    std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  heart_.join();
  if (is_ours()) ::unlink(path_.c_str());
  ::close(fd_);
}

void remove_dead_lock(const fs::path& folder) {
  const fs::path path = folder / "lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return;
  const bool locked = ::flock(fd, LOCK_EX | LOCK_NB) == 0, held = !locked && errno == EWOULDBLOCK;
  if (!held && is_open_file(path, fd)) {
    const std::optional<Owner> owner = owner_in(read_all(fd));
    const bool dead = !owner                       ? locked
                      : is_of_this_machine(*owner) ? locked || !runs(*owner)
                                                   : time_left(folder, changed_at(path), LockPace().stale) <= 0;
    if (dead) ::unlink(path.c_str());
  }
  ::close(fd);
}

bool FolderLock::is_ours() const { return is_open_file(path_, fd_) && read_all(fd_) == mine_; }

void FolderLock::check() const {
  if (is_ours()) return;
  const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  const std::optional<Owner> owner = fd < 0 ? std::nullopt : owner_in(read_all(fd));
  if (fd >= 0) ::close(fd);
  if (owner) refuse(path_, work_, *owner);
  fail("{}: gone, so this process no longer owns the folder", path_.string());
}

void FolderLock::beat(milliseconds interval) {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, interval, [this] { return ends_; })) ::futimens(fd_, nullptr);
}

}  // namespace rowan

#include "base/mapped_guard.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include "base/error.h"

namespace rowan {
namespace {

struct Mapping {
  size_t size;
  std::string path;
};

// The state of the signal handler, which is global because a handler gets no pointer to other state. The handler may
// lock the mutex: a thread that holds the mutex reads no mapped file, so the handler never interrupts such a thread.
std::mutex mutex;
std::map<const std::byte*, Mapping> mappings;
const Mapping* lost = nullptr;  // the first mapping of which a page could not be read; never reset
std::atomic<bool> any_lost = false;
struct sigaction previous;

void on_bus_error(int signal, siginfo_t* info, void* context) {
  const auto* address = static_cast<const std::byte*>(info->si_addr);
  if (info->si_code == BUS_ADRERR) {
    std::lock_guard lock(mutex);
    auto after = mappings.upper_bound(address);
    if (after != mappings.begin()) {
      const auto& [begin, mapping] = *std::prev(after);
      if (address < begin + mapping.size) {
        const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
        void* place = reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(address) & ~(page - 1));
        if (::mmap(place, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED) {
          if (!lost) lost = new Mapping(mapping);
          any_lost = true;
          return;
        }
      }
    }
  }
  if (previous.sa_flags & SA_SIGINFO) return previous.sa_sigaction(signal, info, context);
  ::sigaction(SIGBUS, &previous, nullptr);
  ::raise(signal);
}

void install() {
  struct sigaction action = {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  ::sigaction(SIGBUS, &action, &previous);
}

}  // namespace

void guard_mapping(const std::byte* data, size_t size, const std::filesystem::path& path) {
  static std::once_flag once;
  std::call_once(once, install);
  std::lock_guard lock(mutex);
  mappings[data] = {size, path.string()};
}

void unguard_mapping(const std::byte* data) {
  std::lock_guard lock(mutex);
  mappings.erase(data);
}

void check_mapped_files() {
  if (!any_lost) return;
  std::lock_guard lock(mutex);
  struct stat info;
  if (::stat(lost->path.c_str(), &info) != 0)
    fail("{}: cannot be read any more ({})", lost->path, std::strerror(errno));
  // The signal is the same for a failing disk or network file system, which leaves the size as it was.
  if (static_cast<uint64_t>(info.st_size) >= lost->size) fail("{}: cannot be read any more (I/O error)", lost->path);
  fail("{}: became shorter while it was read", lost->path);
}

}  // namespace rowan

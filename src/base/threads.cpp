#include "base/threads.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "base/error.h"

namespace rowan {

int threads_from_environment() {
  const char* text = std::getenv("OMP_NUM_THREADS");
  if (!text || !*text) return 0;
  int first = 0;
  for (std::string_view rest = text;; rest.remove_prefix(1)) {
    int threads = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), threads);
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
    if (error != std::errc() || threads < 1 || threads > most_threads || (!rest.empty() && rest[0] != ','))
      fail("OMP_NUM_THREADS: found '{}', expected a number from 1 to {}", text, most_threads);
    if (first == 0) first = threads;
    if (rest.empty()) return first;
  }
}

int default_threads() {
  if (const int threads = threads_from_environment()) return threads;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

}  // namespace rowan

#include "train/signals.h"

#include <csignal>
#include <iterator>

namespace rowan {
namespace {

// Global, because a signal handler takes no argument but the signal's number.
volatile std::sig_atomic_t first_signal = 0;
constexpr int handled[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
struct sigaction previous[std::size(handled)];

void on_signal(int signal) {
  if (signal == SIGINT && first_signal != 0) {
    std::signal(SIGINT, SIG_DFL);
    std::raise(SIGINT);
  }
  if (first_signal == 0) first_signal = signal;
}

}  // namespace

StopSignals::StopSignals() {
  first_signal = 0;
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (size_t i = 0; i < std::size(handled); ++i) {
    ::sigaction(handled[i], &action, &previous[i]);
    if (handled[i] == SIGHUP && previous[i].sa_handler == SIG_IGN) ::sigaction(SIGHUP, &previous[i], nullptr);
  }
}

StopSignals::~StopSignals() {
  if (stays_) return;
  for (size_t i = 0; i < std::size(handled); ++i) ::sigaction(handled[i], &previous[i], nullptr);
}

int StopSignals::received() { return first_signal; }

}  // namespace rowan

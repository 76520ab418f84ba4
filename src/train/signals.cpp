#include "train/signals.h"

#include <csignal>

namespace rowan {
namespace {

// A handler can reach nothing but a global.
volatile std::sig_atomic_t first_signal = 0;
struct sigaction previous_term, previous_int;

void on_signal(int signal) {
  if (signal == SIGINT && first_signal == SIGINT) {
    std::signal(SIGINT, SIG_DFL);
    std::raise(SIGINT);
  }
  if (first_signal == 0 || signal == SIGINT) first_signal = signal;
}

}  // namespace

StopSignals::StopSignals() {
  first_signal = 0;
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGTERM, &action, &previous_term);
  ::sigaction(SIGINT, &action, &previous_int);
}

StopSignals::~StopSignals() {
  ::sigaction(SIGTERM, &previous_term, nullptr);
  ::sigaction(SIGINT, &previous_int, nullptr);
}

int StopSignals::received() { return first_signal; }

}  // namespace rowan

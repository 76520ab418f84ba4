// SIGTERM, SIGINT, SIGHUP (the terminal was closed) and SIGUSR1 (which mpirun forwards to its ranks; for the other
// signals it kills them) request the loop to save and exit. A second SIGINT ends the process at once.
#pragma once

namespace rowan {

// Installs the handlers, except for SIGHUP when it is ignored (nohup); the destructor restores the previous ones. One
// object at a time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // The first signal received, or 0.
  static int received();
};

}  // namespace rowan

// SIGTERM, SIGINT, SIGHUP (a terminal that is gone) and SIGUSR1 (which launchers pass on where they would end their
// ranks for the others) ask the loop to save and leave; a second SIGINT ends the process at once.
#pragma once

namespace rowan {

// Handles them while it lives, but for SIGHUP where it is ignored (nohup); then the previous handlers are back. One at
// a time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // The signal that asked, 0 while none did.
  static int received();
};

}  // namespace rowan

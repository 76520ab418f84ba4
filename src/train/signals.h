// SIGTERM and SIGINT ask the loop to finish its step, checkpoint and leave; a second SIGINT ends the process at once.
#pragma once

namespace rowan {

// Handles both signals while it lives; then the previous handlers are back. One at a time.
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

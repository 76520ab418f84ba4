// SIGTERM, SIGINT, SIGHUP (the terminal was closed) and SIGUSR1 make the training loop save and exit. A SIGINT that
// follows any of these signals ends the process at once. SIGUSR1 is handled because Open MPI's mpirun forwards it to
// the ranks.
#pragma once

namespace rowan {

// The constructor installs the handlers; an ignored SIGHUP (nohup) stays ignored. The destructor restores the previous
// handlers, unless stay() was called. Only one object may exist at a time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // The first signal received, or 0.
  static int received();

  // Leaves the handlers installed when this object is destroyed, so that later signals do not end the process, except a
  // SIGINT that follows another signal.
  void stay() { stays_ = true; }

 private:
  bool stays_ = false;
};

}  // namespace rowan

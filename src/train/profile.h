// rowan train --profile FILE: records the first steps of this process, at most 20, and writes them as a timeline for
// Perfetto and chrome://tracing.
// During the recording the host waits for GPU operations to finish, so their recorded durations are execution times.
#pragma once

#include <string>

#include "base/files.h"
#include "base/timeline.h"
#include "run/metrics.h"

namespace rowan {

class Profile {
 public:
  // Throws Error if the file cannot be written, or if it exists and is no trace. Nothing is recorded yet.
  Profile(Timeline& timeline, const std::string& file, const Note& note);
  // Writes the file if it has not been written and at least one step was made.
  ~Profile();
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;

  void record() { timeline_.record(); }
  // Must be called after each step and its evaluation and checkpoint. The 20th call writes the file. If
  // that fails, a note says so, and the training goes on.
  void step();

 private:
  void write();

  Timeline& timeline_;
  std::string name_;
  Note note_;
  AtomicFile file_;
  int steps_ = 0;
};

}  // namespace rowan

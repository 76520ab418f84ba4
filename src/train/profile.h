// rowan train --profile FILE: records up to 20 steps after a start as a timeline for Perfetto and chrome://tracing.
// During the recording the host waits for GPU operations to finish, so their recorded durations are execution times.
#pragma once

#include <string>

#include "base/timeline.h"
#include "run/metrics.h"

namespace rowan {

class Profile {
 public:
  // Starts recording.
  Profile(Timeline& timeline, std::string file, const Note& note);
  // Writes the file if recording has not ended and at least one step was made.
  ~Profile();
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;

  // Must be called after each step, including the step's evaluation and checkpoint. The 20th call writes the file.
  void step();

 private:
  void write();

  Timeline& timeline_;
  std::string file_;
  Note note_;
  int steps_ = 0;
};

}  // namespace rowan

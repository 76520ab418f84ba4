// rowan train --profile FILE: records the operations of a start's first 20 steps as a timeline for Perfetto and
// chrome://tracing. While it records, the host waits for every GPU operation, so that the recorded duration is the
// execution time.
#pragma once

#include <string>

#include "base/timeline.h"
#include "run/metrics.h"

namespace rowan {

class Profile {
 public:
  // Starts recording.
  Profile(Timeline& timeline, std::string file, const Note& note);
  // Writes the file if 1 to 19 steps were made.
  ~Profile();
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;

  // Call it after each step and its evaluation and checkpoint. The 20th call writes the file.
  void step();

 private:
  void write();

  Timeline& timeline_;
  std::string file_;
  Note note_;
  int steps_ = 0;
};

}  // namespace rowan

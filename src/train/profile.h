// rowan train --profile FILE: records the operations of a start's first steps as a timeline for Perfetto and
// chrome://tracing. While it records, every GPU operation is waited for, so that its duration is its execution time.
#pragma once

#include <string>

#include "base/timeline.h"
#include "run/metrics.h"

namespace rowan {

class Profile {
 public:
  // Starts recording.
  Profile(Timeline& timeline, std::string file, const Note& note);
  // Writes the file if fewer than 20 steps were made.
  ~Profile();
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;

  // Call it after each step, including its evaluation and checkpoint; after 20 steps the file is written.
  void step();

 private:
  void write();

  Timeline& timeline_;
  std::string file_;
  Note note_;
  int steps_ = 0;
};

}  // namespace rowan

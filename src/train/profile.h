// rowan train --profile FILE: the operations of a start's first steps on a timeline that Perfetto and chrome://tracing
// open. On a GPU every operation is waited for meanwhile, so that its length is that of its work.
#pragma once

#include <string>

#include "base/timeline.h"
#include "run/metrics.h"

namespace rowan {

class Profile {
 public:
  // Records from now on.
  Profile(Timeline& timeline, std::string file, const Note& note);
  // Writes what there is, where fewer steps were made.
  ~Profile();
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;

  // One more step has been made, with what belongs to it; after 20 of them the file is written.
  void step();

 private:
  void write();

  Timeline& timeline_;
  std::string file_;
  Note note_;
  int steps_ = 0;
};

}  // namespace rowan

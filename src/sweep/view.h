// Shows the progress of a sweep. On a terminal, draws a line for each running run and one for the sweep, about once a
// second, and prints a line when a run ends. Otherwise, prints a line when a run begins or ends.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace rowan {

class SweepView {
 public:
  SweepView(std::filesystem::path dir, bool terminal) : dir_(std::move(dir)), terminal_(terminal) {}
  ~SweepView() { clear(); }

  void begins(const std::string& name);
  void ends(const std::string& name, const std::string& how);
  void message(const std::string& text);
  // On a terminal, draws a line for each running run and, below them, the progress of the sweep: `done` of `known` runs
  // are finished, and `slots` runs can run at once.
  void draw(size_t done, size_t known, size_t slots);

 private:
  using Clock = std::chrono::steady_clock;
  void clear();
  std::string line_of(const std::string& name) const;
  std::string time_left(size_t open, size_t slots) const;

  std::filesystem::path dir_;
  bool terminal_;
  int drawn_ = 0;  // number of lines on the screen that the next draw() replaces
  Clock::time_point last_{};
  std::map<std::string, Clock::time_point> running_;
  double seconds_ = 0;  // total seconds of the runs that have ended in this process
  size_t ended_ = 0;
};

}  // namespace rowan

// Chooses the algorithms of matrix products by time, on one or several ranks. One rank uses a choice at once. Several
// ranks must use the same algorithms, but may meet products in different orders, and some products only on one rank. So
// in the first step, each rank notes its choices and uses the heuristic's algorithms. Then all ranks take the choices
// of all ranks, for each product those of the lowest rank that met it. Products first met later use the heuristic's
// algorithms, as in a process that continues the run from the file.
#pragma once

#include <filesystem>

namespace rowan {

class Backend;
class Communicator;

class TimedProducts {
 public:
  // `file` keeps the choices. Throws Error on all ranks if the device does not choose algorithms, if the file is
  // damaged, or if ranks differ in their GPU, version of cuBLASLt or choices.
  TimedProducts(Backend& backend, Communicator& communicator, const std::filesystem::path& file);

  // Every rank calls this after each step.
  void after_step();

 private:
  Backend& backend_;
  Communicator& communicator_;
  std::filesystem::path file_;
  bool noting_ = false;
};

}  // namespace rowan

// A fiber runs code on its own stack until the code suspends itself or ends. Each emulated CUDA thread is a fiber.
// Switches are reported to AddressSanitizer and ThreadSanitizer. The sanitizers' hooks are weak symbols, so one object
// file serves all builds.
#pragma once

#include <cstddef>

namespace emulation {

class Fiber {
 public:
  Fiber() = default;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Prepares the fiber to run `entry` from the beginning. `entry` must end with a call of finish().
  void prepare(void (*entry)());
  // The scheduler calls this. Runs the fiber until it suspends or finishes.
  void resume();
  // The fiber calls these. entered() is the first call in `entry`. suspend() and finish() return to the scheduler.
  static void entered();
  void suspend() { leave(false); }
  void finish() { leave(true); }

 private:
  void leave(bool finished);

  void* stack_pointer_ = nullptr;
  char* stack_ = nullptr;
  void* fake_stack_ = nullptr;  // AddressSanitizer's fake stack
  void* tsan_ = nullptr;        // ThreadSanitizer's fiber
};

// release_token() and acquire_token() report happens-before edges to ThreadSanitizer. They do nothing in other builds.
void release_token(void* token);
void acquire_token(void* token);

// ThreadSanitizer ignores memory accesses while an object of this class exists. The engine creates one to access its
// own state.
class Unobserved {
 public:
  Unobserved();
  ~Unobserved();
};

// For AddressSanitizer, poison() makes memory inaccessible and unpoison() makes it accessible. They do nothing in other
// builds.
void poison(const void* begin, size_t bytes);
void unpoison(const void* begin, size_t bytes);

}  // namespace emulation

// Fiber: code with its own stack that runs until it suspends itself. Each emulated CUDA thread is a fiber. Switches are
// reported to AddressSanitizer and ThreadSanitizer. Their hooks are weak symbols, so one object file serves all builds.
#pragma once

#include <cstddef>

namespace emulation {

class Fiber {
 public:
  Fiber() = default;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Makes the fiber ready to run `entry` from its start; entry must end in finish().
  void prepare(void (*entry)());
  // Scheduler side: runs the fiber until it suspends or finishes.
  void resume();
  // Fiber side: entered() is the first statement of entry; the other two return to the scheduler.
  static void entered();
  void suspend() { leave(false); }
  void finish() { leave(true); }

 private:
  void leave(bool finished);

  void* stack_pointer_ = nullptr;
  char* stack_ = nullptr;
  void* fake_stack_ = nullptr;  // AddressSanitizer's
  void* tsan_ = nullptr;        // ThreadSanitizer's
};

// Happens-before edges for ThreadSanitizer; they do nothing in other builds.
void release_token(void* token);
void acquire_token(void* token);

// ThreadSanitizer ignores memory accesses while an object of this class exists. The engine uses it for its own state.
class Unobserved {
 public:
  Unobserved();
  ~Unobserved();
};

// Tells AddressSanitizer which memory may be accessed; does nothing in other builds.
void poison(const void* begin, size_t bytes);
void unpoison(const void* begin, size_t bytes);

}  // namespace emulation

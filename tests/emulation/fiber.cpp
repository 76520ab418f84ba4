// Every build compiles this file without sanitizers, for the reason in fiber.h.
#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>

#define WEAK __attribute__((weak))
extern "C" {
WEAK void __sanitizer_start_switch_fiber(void**, const void*, size_t);
WEAK void __sanitizer_finish_switch_fiber(void*, const void**, size_t*);
WEAK void __asan_poison_memory_region(const volatile void*, size_t);
WEAK void __asan_unpoison_memory_region(const volatile void*, size_t);
WEAK void* __tsan_get_current_fiber();
WEAK void* __tsan_create_fiber(unsigned);
WEAK void __tsan_switch_to_fiber(void*, unsigned);
WEAK void __tsan_acquire(void*);
WEAK void __tsan_release(void*);
WEAK void AnnotateIgnoreReadsBegin(const char*, int);
WEAK void AnnotateIgnoreReadsEnd(const char*, int);
WEAK void AnnotateIgnoreWritesBegin(const char*, int);
WEAK void AnnotateIgnoreWritesEnd(const char*, int);
}

namespace emulation {
namespace {

constexpr size_t page = 4096, stack_bytes = 256 * 1024;
constexpr unsigned no_synchronization = 1;  // a switch does not order memory accesses

// The stack of the host thread, on which the scheduler runs.
struct {
  void* stack_pointer;
  const void* bottom;
  size_t bytes;
  void* fake_stack;
  void* tsan;
} scheduler;

#if defined(__x86_64__)
// Saves the callee-saved registers of System V x86-64 on the old stack and restores them from the new stack.
__attribute__((naked, noinline)) void swap_stacks(void** /*save*/, void* /*load*/) {
  asm volatile(
      "pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
      "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
      "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n");
}
#else
#error "swap_stacks is written for x86-64"
#endif

}  // namespace

void Fiber::prepare(void (*entry)()) {
  if (!stack_) {
    void* memory =
        mmap(nullptr, page + stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    mprotect(memory, page, PROT_NONE);  // a stack overflow faults
    stack_ = static_cast<char*>(memory) + page;
    if (__tsan_create_fiber) tsan_ = __tsan_create_fiber(0);
  }
  fake_stack_ = nullptr;
  void** top = reinterpret_cast<void**>(stack_ + stack_bytes - 64);
  *--top = nullptr;  // the return address of entry, which never returns
  *--top = reinterpret_cast<void*>(entry);
  stack_pointer_ = top - 6;
}

void Fiber::resume() {
  if (__tsan_switch_to_fiber) {
    scheduler.tsan = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(tsan_, no_synchronization);
  }
  if (__sanitizer_start_switch_fiber) __sanitizer_start_switch_fiber(&scheduler.fake_stack, stack_, stack_bytes);
  swap_stacks(&scheduler.stack_pointer, stack_pointer_);
  if (__sanitizer_finish_switch_fiber) __sanitizer_finish_switch_fiber(scheduler.fake_stack, nullptr, nullptr);
}

void Fiber::entered() {
  if (__sanitizer_finish_switch_fiber) __sanitizer_finish_switch_fiber(nullptr, &scheduler.bottom, &scheduler.bytes);
}

void Fiber::leave(bool finished) {
  if (__sanitizer_start_switch_fiber)
    __sanitizer_start_switch_fiber(finished ? nullptr : &fake_stack_, scheduler.bottom, scheduler.bytes);
  if (__tsan_switch_to_fiber) __tsan_switch_to_fiber(scheduler.tsan, no_synchronization);
  swap_stacks(&stack_pointer_, scheduler.stack_pointer);
  if (__sanitizer_finish_switch_fiber)
    __sanitizer_finish_switch_fiber(fake_stack_, &scheduler.bottom, &scheduler.bytes);
}

void release_token(void* token) {
  if (__tsan_release) __tsan_release(token);
}

void acquire_token(void* token) {
  if (__tsan_acquire) __tsan_acquire(token);
}

Unobserved::Unobserved() {
  if (!AnnotateIgnoreReadsBegin) return;
  AnnotateIgnoreReadsBegin("", 0);
  AnnotateIgnoreWritesBegin("", 0);
}

Unobserved::~Unobserved() {
  if (!AnnotateIgnoreReadsEnd) return;
  AnnotateIgnoreWritesEnd("", 0);
  AnnotateIgnoreReadsEnd("", 0);
}

void poison(const void* begin, size_t bytes) {
  if (__asan_poison_memory_region) __asan_poison_memory_region(begin, bytes);
}

void unpoison(const void* begin, size_t bytes) {
  if (__asan_unpoison_memory_region) __asan_unpoison_memory_region(begin, bytes);
}

}  // namespace emulation

#include "data/prefetch.h"

#include <utility>

namespace rowan {

Prefetcher::Prefetcher(Fill fill, int64_t first_item, int64_t elements, bool use_thread)
    : fill_(std::move(fill)), item_(first_item), memory_(static_cast<size_t>(4 * elements)) {
  for (int i = 0; i < 2; ++i) buffers_[i] = {&memory_[2 * i * elements], &memory_[(2 * i + 1) * elements]};
  if (use_thread) thread_ = std::thread([this] { run(); });
}

Prefetcher::~Prefetcher() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Prefetcher::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    // The batch returned last is still in use, so only the other buffer may be filled.
    changed_.wait(lock, [this] { return stop_ || filled_ <= taken_; });
    if (stop_) return;
    const Batch batch = buffers_[filled_ % 2];
    lock.unlock();
    std::exception_ptr failure;
    try {
      fill_(item_, batch.inputs, batch.targets);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    failure_ = failure;
    if (failure) stop_ = true;
    ++item_;
    ++filled_;
    changed_.notify_all();
  }
}

Prefetcher::Batch Prefetcher::next() {
  if (!thread_.joinable()) {
    const Batch batch = buffers_[taken_++ % 2];
    fill_(item_, batch.inputs, batch.targets);
    ++item_;
    return batch;
  }
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return filled_ > taken_; });
  // The thread stops at an exception, so only the batch filled last can have failed.
  if (failure_ && taken_ == filled_ - 1) std::rethrow_exception(failure_);
  const Batch batch = buffers_[taken_++ % 2];
  changed_.notify_all();
  return batch;
}

}  // namespace rowan

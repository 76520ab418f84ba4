// Prefetcher: prepares the next batch in a thread of its own while the current one is in use.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace rowan {

class Prefetcher {
 public:
  // Writes batch number `item`. Called from one thread at a time, with consecutive items.
  using Fill = std::function<void(int64_t item, int32_t* inputs, int32_t* targets)>;
  struct Batch {
    int32_t* inputs;
    int32_t* targets;
  };

  // Prepares batches `first_item`, `first_item` + 1, ... of `elements` inputs and `elements` targets, in two
  // alternating buffers. Without a thread, next() fills the batch itself, with the same result.
  Prefetcher(Fill fill, int64_t first_item, int64_t elements, bool use_thread = true);
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  // Returns the next batch, valid until the next call. An exception of `fill` for this batch is rethrown here and, if
  // there is a thread, by every later call.
  Batch next();

 private:
  void run();

  Fill fill_;
  int64_t item_;
  std::vector<int32_t> memory_;
  std::array<Batch, 2> buffers_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t filled_ = 0, taken_ = 0;  // numbers of batches filled and returned
  bool stop_ = false;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace rowan

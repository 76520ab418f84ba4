// Every build compiles this file without sanitizers. The engine reports fibers and synchronization to the sanitizers
// through fiber.h.
#include "engine.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "fiber.h"

namespace emulation {
namespace {

constexpr unsigned max_warps = 32, lanes = 32;

struct AsyncCopy {
  void* to;
  const void* from;
  size_t bytes;
  bool valid;
  int group;
};

// Says where a thread waits. In a warp operation, `what` is the operation's name, and `line` is 0. At a barrier, `what`
// is the file.
struct Place {
  const char* what = nullptr;
  int line = 0;

  bool operator==(const Place& other) const {
    return line == other.line && (what == other.what || (what && other.what && !std::strcmp(what, other.what)));
  }
  std::string text() const {
    return line ? "the barrier at " + std::string(what) + ":" + std::to_string(line) : std::string(what);
  }
};

struct Worker {
  Thread thread{};
  Fiber fiber;
  Place waiting_for;  // empty while the thread can run
  bool finished = false;
  unsigned warp_syncs = 0;
  int copy_group = 0;
  std::vector<AsyncCopy> copies;
};

struct WarpOperation {
  const char* name;
  unsigned mask, arrived;
  void* records[lanes];
};

// Addresses for ThreadSanitizer's happens-before edges. Every block has its own object, because a reused object would
// order the block after an earlier block.
struct Tokens {
  char barrier[2], warp[max_warps][2];
};

struct Block {
  const char* kernel = "";
  dim3 grid, dim;
  uint3 index{};
  unsigned threads = 0, finished = 0;
  size_t shared_bytes = 0, shared_limit = 0;
  const std::function<void()>* body = nullptr;
  // Consecutive blocks use different fibers, so that ThreadSanitizer sees different threads.
  std::vector<std::unique_ptr<Worker>> workers[2], *team = nullptr;
  std::vector<Worker*> ready;
  std::vector<WarpOperation> operations[max_warps];
  unsigned finished_lanes[max_warps] = {};
  unsigned barrier_arrived = 0, barrier_phase = 0;
  Place barrier_place;
  std::unique_ptr<char[]> dynamic;
  std::vector<std::pair<const void*, std::unique_ptr<char[]>>> arrays;
  std::unique_ptr<Tokens> tokens;
  std::string error;
  char launch_token = 0, end_token = 0;
};

Schedule schedule_from_environment() {
  const char* name = std::getenv("EMULATION_SCHEDULE");
  if (!name || !std::strcmp(name, "forward")) return Schedule::forward;
  if (!std::strcmp(name, "reverse")) return Schedule::reverse;
  if (!std::strcmp(name, "random")) return Schedule::random;
  throw std::runtime_error(std::string("EMULATION_SCHEDULE: found '") + name +
                           "', expected forward, reverse or random");
}

Schedule schedule = schedule_from_environment();
uint64_t random_state = 1;
Block* block = nullptr;
Worker* current = nullptr;

uint64_t next_random() {
  random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
  return random_state >> 33;
}

std::string place_of(const Block& b) {
  return std::string(b.kernel) + " block (" + std::to_string(b.index.x) + ", " + std::to_string(b.index.y) + ", " +
         std::to_string(b.index.z) + ")";
}

void wait_at(Place place) {
  current->waiting_for = place;
  current->fiber.suspend();
}

void wake(Worker* worker) {
  worker->waiting_for = Place{};
  block->ready.push_back(worker);
}

std::unique_ptr<char[]> poisoned(size_t bytes) {
  std::unique_ptr<char[]> memory(new char[bytes]);
  std::memset(memory.get(), 0xFF, bytes);
  return memory;
}

void check_return() {
  if (!current->copies.empty()) report("returns before it has waited for its cp.async copies");
  if (block->barrier_arrived) report("returns while other threads wait at " + block->barrier_place.text());
  for (const WarpOperation& operation : block->operations[current->thread.warp])
    if (operation.mask >> current->thread.lane & 1)
      report(std::string("returns while its warp waits for it in ") + operation.name);
}

void worker_main() {
  Fiber::entered();
  acquire_token(&block->launch_token);
  try {
    (*block->body)();
    Unobserved scope;
    check_return();
  } catch (const std::exception& e) {
    Unobserved scope;
    if (block->error.empty()) block->error = e.what();
  }
  release_token(&block->end_token);
  current->finished = true;
  ++block->finished;
  block->finished_lanes[current->thread.warp] |= 1u << current->thread.lane;
  current->fiber.finish();
}

void prepare_block(uint3 index, unsigned number) {
  Block& b = *block;
  b.index = index;
  b.team = &b.workers[number & 1];
  b.finished = b.barrier_arrived = b.barrier_phase = 0;
  b.tokens.reset();
  b.tokens = std::make_unique<Tokens>();
  b.arrays.clear();
  for (unsigned warp = 0; warp < max_warps; ++warp) {
    b.operations[warp].clear();
    b.finished_lanes[warp] = 0;
  }
  while (b.team->size() < b.threads) b.team->push_back(std::make_unique<Worker>());
  for (unsigned i = 0; i < b.threads; ++i) {
    Worker& worker = *(*b.team)[i];
    worker.thread = Thread{
        {i % b.dim.x, i / b.dim.x % b.dim.y, i / (b.dim.x * b.dim.y)}, index, b.dim, b.grid, i % lanes, i / lanes};
    worker.waiting_for = Place{};
    worker.finished = false;
    worker.warp_syncs = 0;
    worker.copy_group = 0;
    worker.copies.clear();
    worker.fiber.prepare(worker_main);
    b.ready.push_back(&worker);
  }
}

void run_block() {
  Block& b = *block;
  std::vector<Worker*> turn;
  while (!b.ready.empty() && b.error.empty()) {
    turn.swap(b.ready);
    b.ready.clear();
    if (schedule == Schedule::reverse) std::reverse(turn.begin(), turn.end());
    if (schedule == Schedule::random)
      for (size_t i = turn.size(); i > 1; --i) std::swap(turn[i - 1], turn[next_random() % i]);
    for (Worker* worker : turn) {
      current = worker;
      self = &worker->thread;
      worker->fiber.resume();
      if (!b.error.empty()) break;
    }
  }
  current = nullptr;
  self = nullptr;
  if (!b.error.empty() || b.finished == b.threads) return;
  b.error = place_of(b) + ": deadlock:";
  Place last;
  for (unsigned i = 0; i < b.threads; ++i) {
    const Worker& worker = *(*b.team)[i];
    if (worker.finished || worker.waiting_for == last) continue;
    last = worker.waiting_for;
    b.error += " from thread " + std::to_string(i) + " in " + last.text() + ";";
  }
}

}  // namespace

Thread* self = nullptr;

void set_schedule(Schedule order, uint64_t seed) {
  schedule = order;
  random_state = seed;
}

void report(const std::string& what) {
  const uint3& t = current->thread.thread;
  throw DeviceError(place_of(*block) + " thread (" + std::to_string(t.x) + ", " + std::to_string(t.y) + ", " +
                    std::to_string(t.z) + "): " + what);
}

void run(const char* kernel, dim3 grid, dim3 dim, size_t dynamic_shared_bytes, size_t shared_limit,
         const std::function<void()>& body) {
  static std::unique_ptr<Block> state = std::make_unique<Block>();
  size_t blocks = size_t(grid.x) * grid.y * grid.z, threads = size_t(dim.x) * dim.y * dim.z;
  if (!blocks || !threads || threads > max_warps * lanes || threads % lanes || grid.y > 65535 || grid.z > 65535 ||
      dynamic_shared_bytes > shared_limit)
    throw DeviceError(std::string(kernel) + ": launch of " + std::to_string(blocks) + " blocks of " +
                      std::to_string(threads) + " threads with " + std::to_string(dynamic_shared_bytes) +
                      " bytes of shared memory; expected a multiple of 32 threads, at most 1024, and at most " +
                      std::to_string(shared_limit) + " bytes");
  if (count_work(Work::kernel)) return;
  DeviceMemoryOpen open;
  Unobserved scope;
  block = state.get();
  block->kernel = kernel;
  block->grid = grid;
  block->dim = dim;
  block->threads = static_cast<unsigned>(threads);
  block->shared_limit = shared_limit;
  block->body = &body;
  release_token(&block->launch_token);
  for (size_t i = 0; i < blocks; ++i) {
    size_t k = schedule == Schedule::reverse ? blocks - 1 - i : i;
    block->dynamic = poisoned(dynamic_shared_bytes);
    block->shared_bytes = dynamic_shared_bytes;
    prepare_block({unsigned(k % grid.x), unsigned(k / grid.x % grid.y), unsigned(k / (size_t(grid.x) * grid.y))},
                  static_cast<unsigned>(i));
    run_block();
    if (!block->error.empty()) {
      std::string error = block->error;
      state.release();  // leaked, because the stacks of suspended threads cannot be unwound
      state = std::make_unique<Block>();
      throw DeviceError(error);
    }
  }
  acquire_token(&block->end_token);
}

void barrier(const char* file, int line) {
  Block& b = *block;
  unsigned phase = b.barrier_phase & 1;
  release_token(&b.tokens->barrier[phase]);
  {
    Unobserved scope;
    Place place{file, line};
    if (b.finished) report("waits at " + place.text() + ", but other threads have already returned");
    if (b.barrier_arrived && !(b.barrier_place == place))
      report("reaches " + place.text() + " while other threads of its block wait at " + b.barrier_place.text());
    b.barrier_place = place;
    if (++b.barrier_arrived < b.threads) {
      wait_at(place);
    } else {
      b.barrier_arrived = 0;
      ++b.barrier_phase;
      for (unsigned i = 0; i < b.threads; ++i)
        if (Worker* worker = (*b.team)[i].get(); worker != current) wake(worker);
    }
  }
  acquire_token(&b.tokens->barrier[phase]);
}

void warp_collective(const char* name, unsigned mask, void* record,
                     const std::function<void(void** records, unsigned mask)>& function) {
  unsigned warp = current->thread.warp, lane = current->thread.lane;
  std::vector<WarpOperation>& pending = block->operations[warp];
  if (!(mask >> lane & 1)) report(std::string(name) + ": the calling lane is not in its mask");
  if (mask & block->finished_lanes[warp]) report(std::string(name) + ": lanes of its mask have already returned");
  auto mine = std::find_if(pending.begin(), pending.end(), [&](const WarpOperation& operation) {
    return operation.mask == mask && !std::strcmp(operation.name, name);
  });
  if (mine == pending.end()) {
    Unobserved scope;
    pending.push_back(WarpOperation{name, mask, 0, {}});
    mine = pending.end() - 1;
  }
  mine->arrived |= 1u << lane;
  mine->records[lane] = record;
  if (mine->arrived != mask) {
    Unobserved scope;
    wait_at(Place{name});
    return;
  }
  WarpOperation complete = *mine;
  {
    Unobserved scope;
    pending.erase(mine);
  }
  function(complete.records, mask);
  Unobserved scope;
  for (unsigned l = 0; l < lanes; ++l)
    if ((mask >> l & 1) && l != lane) wake((*block->team)[warp * lanes + l].get());
}

void sync_warp(unsigned mask) {
  char* token = &block->tokens->warp[current->thread.warp][current->warp_syncs++ & 1];
  release_token(token);
  warp_collective("__syncwarp", mask, nullptr, [](void**, unsigned) {});
  acquire_token(token);
}

void* dynamic_shared() { return block->dynamic.get(); }

void* static_shared(const void* key, size_t bytes) {
  Unobserved scope;
  for (auto& [known, memory] : block->arrays)
    if (known == key) return memory.get();
  if ((block->shared_bytes += bytes) > block->shared_limit)
    report("found " + std::to_string(block->shared_bytes) + " bytes of shared memory, expected at most " +
           std::to_string(block->shared_limit));
  block->arrays.emplace_back(key, poisoned(bytes));
  return block->arrays.back().second.get();
}

void copy_async(void* to, const void* from, size_t bytes, bool valid) {
  if ((reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from)) % bytes)
    report("cp.async of " + std::to_string(bytes) + " bytes: misaligned address");
  std::memset(to, 0xFF, bytes);
  Unobserved scope;
  current->copies.push_back({to, from, bytes, valid, current->copy_group});
}

void copy_commit() { ++current->copy_group; }

void copy_wait(int groups_left) {
  size_t kept = 0;
  for (const AsyncCopy& copy : current->copies) {
    if (copy.group >= current->copy_group - groups_left) {
      current->copies[kept++] = copy;
    } else if (copy.valid) {
      std::memcpy(copy.to, copy.from, copy.bytes);
    } else {
      std::memset(copy.to, 0, copy.bytes);
    }
  }
  current->copies.resize(kept);
}

}  // namespace emulation

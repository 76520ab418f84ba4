#include "comm/communicator.h"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "base/console.h"
#include "comm/agreement.h"
#include "comm/ranks_text.h"

namespace rowan {

namespace {

constexpr double default_timeout_seconds = 300, most_timeout_seconds = 1e8;
// How long a rank waits for the answers to its pings. Before it reports the silent ranks itself, it also waits this
// long for each lower rank that may report them.
constexpr std::chrono::seconds answer_time{2};

double timeout_from_environment() {
  const char* text = std::getenv("ROWAN_TIMEOUT");
  if (!text || !*text) return default_timeout_seconds;
  char* end = nullptr;
  double seconds = std::strtod(text, &end);
  if (*end || !(seconds > 0 && seconds <= most_timeout_seconds))
    fail_on_all("ROWAN_TIMEOUT: found '{}', expected a number of seconds above 0, at most {}", text,
                most_timeout_seconds);
  return seconds;
}

}  // namespace

uint64_t Traffic::tensor_bytes() const {
  return bytes_of(Message::reduce) + bytes_of(Message::broadcast) + bytes_of(Message::all_reduce);
}

Communicator::Communicator(int rank, int size, int local_rank)
    : rank_(rank),
      size_(size),
      local_rank_(local_rank),
      timeout_seconds_(timeout_from_environment()),
      answered_(size) {}

void Communicator::count(Message kind, uint64_t bytes) {
  traffic_.calls[static_cast<int>(kind)] += 1;
  traffic_.bytes[static_cast<int>(kind)] += bytes;
}

Ticket Communicator::reduce(const std::vector<Piece>& pieces) {
  uint64_t bytes = 0;
  for (const Piece& piece : pieces) {
    if (piece.owner != rank_) bytes += piece.tensor.bytes();
  }
  count(Message::reduce, bytes);
  return start_reduce(pieces);
}

Ticket Communicator::broadcast(const std::vector<Piece>& pieces) {
  uint64_t bytes = 0;
  for (const Piece& piece : pieces) {
    if (piece.owner == rank_) bytes += piece.tensor.bytes() * (size_ - 1);
  }
  count(Message::broadcast, bytes);
  return start_broadcast(pieces);
}

Ticket Communicator::all_reduce(Tensor x) {
  Range own = equal_part(x.numel(), size_, rank_);
  uint64_t mine = (own.end - own.begin) * size_of(x.dtype);
  count(Message::all_reduce, x.bytes() - mine + mine * (size_ - 1));
  return start_all_reduce(x);
}

std::vector<std::string> Communicator::gather(const std::string& mine) {
  count(Message::control, mine.size() * (size_ - 1));
  return gather_bytes(mine);
}

std::vector<double> Communicator::sum(const std::vector<double>& mine) {
  std::string bytes(mine.size() * sizeof(double), '\0');
  std::memcpy(bytes.data(), mine.data(), bytes.size());
  std::vector<double> total(mine.size(), 0.0), theirs(mine.size());
  for (const std::string& part : gather(bytes)) {
    if (part.size() != bytes.size()) throw std::logic_error("sum: ranks gave different numbers of values");
    std::memcpy(theirs.data(), part.data(), part.size());
    for (size_t i = 0; i < total.size(); ++i) total[i] += theirs[i];
  }
  return total;
}

bool Communicator::pinged() {
  const int other = next_ping();
  if (other >= 0) answered_[other] = true;
  return other >= 0;
}

void Communicator::report_hung_ranks(const std::string& operation) {
  for (int r = 0; r < size_; ++r)
    if (can_ping(r)) ping(r);
  auto listen = [&](std::chrono::seconds time) {
    for (const auto end = std::chrono::steady_clock::now() + time; std::chrono::steady_clock::now() < end;)
      if (!pinged()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  listen(answer_time);
  int before = 0;  // number of lower ranks that may report before this one
  for (int r = 0; r < rank_; ++r) before += answered_[r] || !can_ping(r);
  listen(before * answer_time);
  std::vector<int> silent;
  for (int r = 0; r < size_; ++r)
    if (can_ping(r) && !answered_[r]) silent.push_back(r);
  const std::string limit = fmt::format("for {:g} s (ROWAN_TIMEOUT) in '{}'", timeout_seconds_, operation);
  if (silent.empty())
    tell("rowan: rank {}: nothing has arrived {}, though every rank waits; leaving\n", rank_, limit);
  else
    tell("rowan: rank {}: {} {} been silent {}; leaving\n", rank_, ranks_text(silent),
         silent.size() == 1 ? "has" : "have", limit);
  abort(2);
  std::_Exit(2);  // not reached; GCC with sanitizers assumes that the virtual abort() may return
}

Range equal_part(int64_t elements, int parts, int index) {
  return {elements * index / parts, elements * (index + 1) / parts};
}

}  // namespace rowan

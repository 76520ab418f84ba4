// Messages in host memory without MPI (srun --mpi=none). Rank 0 listens, and the other ranks connect to it. Every
// gather goes through rank 0. This communicator sends no tensors; NCCL does.
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "base/console.h"
#include "comm/agreement.h"
#include "comm/ranks_text.h"
#include "comm/rendezvous.h"
#include "comm/transports.h"

namespace rowan {

namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr auto pause_between_attempts = std::chrono::milliseconds(50);
// Sent in place of a message's length. It means that the sender is ending the run.
constexpr uint64_t farewell = UINT64_MAX;
constexpr uint64_t ping_word = 0;  // an empty message
// In bytes. A message longer than longest_message is an error. receive() enlarges its buffer in steps of up to
// most_at_once.
constexpr uint64_t longest_message = uint64_t{1} << 30, most_at_once = uint64_t{1} << 20;

class TcpCommunicator final : public Communicator {
 public:
  TcpCommunicator(const Launch& launch, const std::string& address)
      : Communicator(launch.rank, launch.size, launch.local_rank), peers_(launch.size) {
    Rendezvous place(address);
    rank() == 0 ? receive_all(place) : find_rank_0(place, launch);
    for (const Socket& peer : peers_)
      if (peer) peer.set_timeout(timeout_seconds() + turn_seconds());
  }

  ~TcpCommunicator() override {
    // A launcher may end all ranks when the first one exits. Rank 0 prints for all ranks, so the others wait until rank
    // 0 has closed its connections.
    char ignored = 0;
    if (rank() != 0 && std::uncaught_exceptions() == 0) peers_[0].read(&ignored, 1);
  }

  std::string describe() const override { return "TCP"; }
  void attach(Backend&) override {}
  void wait(Ticket) override {}

  [[noreturn]] void abort(int exit_code) override {
    for (int r = 0; r < size(); ++r)
      if (can_ping(r)) send_at_once(r, farewell);
    std::fflush(nullptr);
    std::_Exit(exit_code);
  }

 protected:
  Ticket start_reduce(const std::vector<Piece>&) override { no_tensors(); }
  Ticket start_broadcast(const std::vector<Piece>&) override { no_tensors(); }
  Ticket start_all_reduce(Tensor) override { no_tensors(); }

  std::vector<std::string> gather_bytes(const std::string& mine) override {
    if (rank() != 0) {
      transmit(0, framed(mine));
      return parts_of(receive(0));
    }
    std::string all = framed(mine);
    for (int r = 1; r < size(); ++r) all += framed(receive(r));
    for (int r = 1; r < size(); ++r) transmit(r, framed(all));
    return parts_of(all);
  }

  bool can_ping(int other) const override { return static_cast<bool>(peers_[other]); }
  void ping(int other) override { send_at_once(other, ping_word); }

  int next_ping() override {
    for (int r = 0; r < size(); ++r) {
      pollfd ready{peers_[r].fd(), POLLIN, 0};
      if (poll(&ready, 1, 0) <= 0) continue;  // a rank without a connection has fd -1, which poll() ignores
      receive(r);
      return r;
    }
    return -1;
  }

 private:
  void send_at_once(int to, uint64_t word) { send(peers_[to].fd(), &word, sizeof word, MSG_NOSIGNAL | MSG_DONTWAIT); }

  [[noreturn]] static void no_tensors() {
    fail_on_all("with ROWAN_RENDEZVOUS, ranks exchange tensors only over NCCL; use mpirun without ROWAN_RENDEZVOUS");
  }

  [[noreturn]] void leave(const std::string& message) {
    tell("rowan: {}{}\n", rank() == 0 ? "" : fmt::format("rank {}: ", rank()), message);
    abort(2);
  }

  void receive_all(Rendezvous& place) {
    const auto deadline = Clock::now() + Seconds(timeout_seconds());
    try {
      const Socket listener = place.open();
      std::vector<int> missing;
      do {
        Socket peer;
        const int who = place.welcome(listener, size(), peer);
        if (who > 0 && peers_[who] && Rendezvous::is_there(peers_[who]))
          place.refuse(peer, fmt::format("rank {} is connected already", who));
        else if (who > 0 && place.answer(peer))
          peers_[who] = std::move(peer);
        missing.clear();
        for (int r = 1; r < size(); ++r)
          if (!peers_[r]) missing.push_back(r);
      } while (!missing.empty() && Clock::now() < deadline);
      place.close();
      if (!missing.empty())
        leave(fmt::format("{}: rank 0, on {}, has waited {:g} s (ROWAN_TIMEOUT) for {} of {}", place.text(),
                          machine_name(), timeout_seconds(), ranks_text(missing), size()));
    } catch (const Error& error) {
      leave(fmt::format("{}: {}", place.text(), error.what()));
    }
  }

  void find_rank_0(Rendezvous& place, const Launch& launch) {
    const auto deadline = Clock::now() + Seconds(timeout_seconds() + turn_seconds());
    for (std::string why;; std::this_thread::sleep_for(pause_between_attempts)) {
      try {
        peers_[0] = place.reach(launch, why);
        if (peers_[0]) return;
      } catch (const Error& error) {  // for example, a host name that is not known yet
        why = error.what();
      }
      if (Clock::now() > deadline)
        leave(fmt::format("{}: no connection to rank 0 for {:g} s (ROWAN_TIMEOUT); {}", place.text(), timeout_seconds(),
                          why));
    }
  }

  static std::string framed(const std::string& message) {
    const uint64_t length = message.size();
    return std::string(reinterpret_cast<const char*>(&length), sizeof length) + message;
  }

  std::vector<std::string> parts_of(const std::string& frames) {
    std::vector<std::string> parts;
    for (size_t at = 0; at < frames.size(); at += sizeof(uint64_t) + parts.back().size()) {
      uint64_t length = 0;
      if (frames.size() - at >= sizeof length) std::memcpy(&length, frames.data() + at, sizeof length);
      if (frames.size() - at < sizeof length || length > frames.size() - at - sizeof length)
        leave("rank 0 sent a message that is cut short; leaving");
      parts.push_back(frames.substr(at + sizeof length, length));
    }
    if (parts.size() != static_cast<size_t>(size()))
      leave(fmt::format("rank 0: found the messages of {} ranks, expected {}; leaving", parts.size(), size()));
    return parts;
  }

  void transmit(int to, const std::string& frame) {
    if (peers_[to].write(frame.data(), frame.size())) return;
    if (errno != EAGAIN) receive(to);  // ends this rank if a farewell has arrived
    lost(to);
  }

  std::string receive(int from) {
    uint64_t length = 0;
    if (!peers_[from].read(&length, sizeof length)) lost(from);
    if (length == farewell) abort(2);
    if (length > longest_message)
      leave(fmt::format("rank {}: found a message of {} bytes, expected at most {}; leaving", from, length,
                        longest_message));
    // Memory grows with the bytes that arrive, because the announced length may be wrong.
    std::string message;
    while (message.size() < length) {
      const size_t before = message.size();
      message.resize(std::min<uint64_t>(length, before + most_at_once));
      if (!peers_[from].read(message.data() + before, message.size() - before)) lost(from);
    }
    return message;
  }

  [[noreturn]] void lost(int r) {
    const bool silent = errno == EAGAIN;
    if (!silent) std::this_thread::sleep_for(Seconds(turn_seconds()));
    leave(silent ? fmt::format("rank {} has been silent for {:g} s (ROWAN_TIMEOUT); leaving", r, timeout_seconds())
                 : fmt::format("rank {} is gone; leaving", r));
  }

  std::vector<Socket> peers_;  // by rank; rank 0 is connected to all others, each other rank only to rank 0
};

}  // namespace

std::unique_ptr<Communicator> make_tcp_communicator(const Launch& launch, const std::string& address) {
  return std::make_unique<TcpCommunicator>(launch, address);
}

}  // namespace rowan

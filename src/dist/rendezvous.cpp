#include "dist/rendezvous.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

#include "base/error.h"
#include "base/files.h"

namespace rowan {

namespace {

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;

constexpr auto pause = std::chrono::milliseconds(50);

bool late(Deadline deadline) { return Clock::now() > deadline; }

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "0";
}

// Every rank leaves a mark once it has read, so that rank 0 can remove the files and a later run finds none of them.
std::string through_file(const Launch& launch, const std::string& path, const std::string& message, Deadline deadline) {
  namespace fs = std::filesystem;
  std::string base = path + "." + environment("SLURM_JOB_ID") + "." + environment("SLURM_STEP_ID");
  auto mark = [&](int rank) { return base + ".read-" + std::to_string(rank); };
  if (launch.rank == 0) {
    write_file_atomically(base, message);
    for (int rank = 1; rank < launch.size; ++rank) {
      while (!fs::exists(mark(rank))) {
        if (late(deadline)) {
          fs::remove(base);
          fail("{}: rank {} of {} did not come to read it; is the folder shared by all machines?", base, rank,
               launch.size);
        }
        std::this_thread::sleep_for(pause);
      }
    }
    for (int rank = 1; rank < launch.size; ++rank) fs::remove(mark(rank));
    fs::remove(base);
    return message;
  }
  while (!fs::exists(base)) {
    if (late(deadline)) fail("{}: rank 0 did not write it; is the folder shared by all machines?", base);
    std::this_thread::sleep_for(pause);
  }
  std::string received = read_file(base);
  write_file_atomically(mark(launch.rank), "");
  return received;
}

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

struct Addresses {
  addrinfo* list = nullptr;
  Addresses(const std::string& host, const std::string& port, bool listening) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = listening ? AI_PASSIVE : 0;
    if (int error = getaddrinfo(listening ? nullptr : host.c_str(), port.c_str(), &hints, &list)) {
      fail("tcp:{}:{}: {}", host, port, gai_strerror(error));
    }
  }
  ~Addresses() { freeaddrinfo(list); }
};

void serve(const Launch& launch, const std::string& host, const std::string& port, const std::string& message,
           Deadline deadline) {
  Addresses addresses(host, port, true);
  Socket listener(socket(addresses.list->ai_family, SOCK_STREAM, 0));
  int yes = 1;
  setsockopt(listener.fd(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(listener.fd(), addresses.list->ai_addr, addresses.list->ai_addrlen) || listen(listener.fd(), launch.size)) {
    fail("tcp:{}:{}: rank 0 cannot listen there: {}", host, port, std::strerror(errno));
  }
  for (int served = 1; served < launch.size;) {
    if (late(deadline))
      fail("tcp:{}:{}: {} of {} ranks did not connect", host, port, launch.size - served, launch.size);
    pollfd ready{listener.fd(), POLLIN, 0};
    if (poll(&ready, 1, 100) <= 0) continue;
    Socket peer(accept(listener.fd(), nullptr, nullptr));
    if (send(peer.fd(), message.data(), message.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(message.size())) ++served;
  }
}

std::string ask(const std::string& host, const std::string& port, size_t bytes, Deadline deadline) {
  while (true) {
    if (late(deadline)) fail("tcp:{}:{}: rank 0 did not answer", host, port);
    Addresses addresses(host, port, false);
    for (addrinfo* address = addresses.list; address; address = address->ai_next) {
      Socket peer(socket(address->ai_family, SOCK_STREAM, 0));
      if (connect(peer.fd(), address->ai_addr, address->ai_addrlen)) continue;
      std::string message(bytes, '\0');
      if (recv(peer.fd(), message.data(), bytes, MSG_WAITALL) == static_cast<ssize_t>(bytes)) return message;
    }
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace

std::string share_from_rank_0(const Launch& launch, const std::string& address, const std::string& message,
                              double timeout_seconds) {
  Deadline deadline =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(timeout_seconds));
  if (address.starts_with("file:") && address.size() > 5) {
    return through_file(launch, address.substr(5), message, deadline);
  }
  size_t colon = address.rfind(':');
  if (!address.starts_with("tcp:") || colon < 5 || colon + 1 == address.size()) {
    fail("ROWAN_RENDEZVOUS is '{}'; file:PATH or tcp:HOST:PORT is wanted", address);
  }
  std::string host = address.substr(4, colon - 4), port = address.substr(colon + 1);
  if (launch.rank != 0) return ask(host, port, message.size(), deadline);
  serve(launch, host, port, message, deadline);
  return message;
}

}  // namespace rowan

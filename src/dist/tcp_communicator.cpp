// Host messages where there is no MPI (srun --mpi=none): rank 0 listens, the others connect, and every gather goes
// through it. Tensors travel over NCCL.
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>
#include <sstream>
#include <thread>
#include <utility>

#include "base/files.h"
#include "dist/agreement.h"
#include "dist/communicator.h"

namespace rowan {

namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr auto pause_between_attempts = std::chrono::milliseconds(50);
constexpr double connect_seconds = 2, hello_seconds = 2, welcome_seconds = 10;
// Takes the place of a length: whoever sends it leaves, and a message about it has been printed.
constexpr uint64_t farewell = UINT64_MAX;

class Socket {
 public:
  explicit Socket(int fd = -1) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  explicit operator bool() const { return fd_ >= 0; }
  int fd() const { return fd_; }

  // A read or write that takes longer fails.
  void set_timeout(double seconds) const {
    const auto whole = static_cast<time_t>(seconds);
    const timeval limit{whole, static_cast<suseconds_t>((seconds - static_cast<double>(whole)) * 1e6)};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  }
  // False, with errno set, when the other end is gone (ECONNRESET, EPIPE) or silent (EAGAIN).
  bool read(void* data, size_t bytes) const {
    return whole(bytes, [&](size_t done) { return recv(fd_, static_cast<char*>(data) + done, bytes - done, 0); });
  }
  bool write(const void* data, size_t bytes) const {
    return whole(bytes, [&](size_t done) {
      return send(fd_, static_cast<const char*>(data) + done, bytes - done, MSG_NOSIGNAL);
    });
  }

 private:
  template <typename Call>
  static bool whole(size_t bytes, const Call& call) {
    for (size_t done = 0; done < bytes;) {
      const ssize_t n = call(done);
      if (n > 0) done += static_cast<size_t>(n);
      if (n == 0) errno = ECONNRESET;
      if (n == 0 || (n < 0 && errno != EINTR)) return false;
    }
    return true;
  }

  int fd_;
};

// What a rank says first; rank 0 answers with the token. Others that happen to connect do not know it.
struct Hello {
  uint64_t token;
  int32_t rank, size;
};

class Addresses {
 public:
  // Throws Error when the name is unknown.
  Addresses(const std::string& host, const std::string& port) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    if (int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &list_)) fail("{}: {}", host, gai_strerror(error));
  }
  ~Addresses() { freeaddrinfo(list_); }
  Addresses(const Addresses&) = delete;
  Addresses& operator=(const Addresses&) = delete;
  const addrinfo* first() const { return list_; }

 private:
  addrinfo* list_ = nullptr;
};

// At all of this machine's addresses, of both kinds where it has both; port 0 is any that is free. Throws Error.
Socket listen_at(uint16_t port) {
  const int no = 0, yes = 1;
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6, six.sin6_port = htons(port);
  sockaddr_in four{};
  four.sin_family = AF_INET, four.sin_port = htons(port);
  auto listen_as = [&](int family, const auto& address) {
    Socket socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (family == AF_INET6) setsockopt(socket.fd(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    setsockopt(socket.fd(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    const bool listens = bind(socket.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
                         listen(socket.fd(), SOMAXCONN) == 0;
    return listens ? std::move(socket) : Socket();
  };
  Socket socket = listen_as(AF_INET6, six);
  if (!socket) socket = listen_as(AF_INET, four);
  if (!socket) fail("rank 0 cannot listen there: {}", std::strerror(errno));
  return socket;
}

uint16_t port_of(const Socket& listener) {
  sockaddr_in6 address{};  // the port has the same place in both kinds
  socklen_t size = sizeof address;
  getsockname(listener.fd(), reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin6_port);
}

// Numeric, and this machine's own address last.
std::vector<std::string> addresses_of_this_machine() {
  std::vector<std::string> all;
  ifaddrs* list = nullptr;
  getifaddrs(&list);
  for (bool own : {false, true}) {
    for (const ifaddrs* i = list; i; i = i->ifa_next) {
      if (!i->ifa_addr || static_cast<bool>(i->ifa_flags & IFF_LOOPBACK) != own) continue;
      const int family = i->ifa_addr->sa_family;
      char text[NI_MAXHOST];
      if (family != AF_INET && family != AF_INET6) continue;
      const socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
      if (getnameinfo(i->ifa_addr, size, text, sizeof text, nullptr, 0, NI_NUMERICHOST)) continue;
      if (!std::strchr(text, '%')) all.emplace_back(text);  // one that only neighbours can use
    }
  }
  freeifaddrs(list);
  return all;
}

Socket connect_to(const addrinfo& address) {
  Socket socket(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return socket;
  socket.set_timeout(connect_seconds);  // Linux: of connect, too
  if (connect(socket.fd(), address.ai_addr, address.ai_addrlen)) {
    const int error = errno == EINPROGRESS ? ETIMEDOUT : errno;
    socket = Socket();
    errno = error;
  }
  return socket;
}

// Where ranks meet.
class Place {
 public:
  // Throws AgreedError when the address is malformed.
  explicit Place(const std::string& address) : address_(address) {
    const size_t colon = address.rfind(':');
    auto variable = [](const char* name) {
      const char* value = std::getenv(name);
      return std::string(value ? value : "0");
    };
    const std::string step = variable("SLURM_JOB_ID") + "." + variable("SLURM_STEP_ID");
    char* end = nullptr;
    const unsigned long port = std::strtoul(address.c_str() + colon + 1, &end, 10);
    if (address.starts_with("file:") && address.size() > 5) {
      file_ = address.substr(5) + "." + step;
    } else if (address.starts_with("tcp:") && colon >= 5 && !*end && port > 0 && port < 65536) {
      host_ = address.substr(4, colon - 4), port_ = static_cast<uint16_t>(port);
      if (host_.starts_with('[') && host_.ends_with(']')) host_ = host_.substr(1, host_.size() - 2);
      token_ = hash64("rowan rendezvous " + step);
    } else {
      fail_on_all("ROWAN_RENDEZVOUS is '{}'; file:PATH or tcp:HOST:PORT is wanted", address);
    }
  }

  const std::string& text() const { return address_; }
  uint64_t token() const { return token_; }

  // Rank 0's listener, and the file that says where it is. Throws Error.
  Socket open() {
    Socket listener = listen_at(port_);
    if (file_.empty()) return listener;
    token_ = std::random_device()() | static_cast<uint64_t>(std::random_device()()) << 32;
    std::string text = fmt::format("{} {}\n", token_, port_of(listener));
    for (const std::string& address : addresses_of_this_machine()) text += address + "\n";
    write_file_atomically(file_, text);
    return listener;
  }
  void remove() const {
    std::error_code ignored;
    if (!file_.empty()) std::filesystem::remove(file_, ignored);
  }

  // One attempt to reach rank 0. When it fails, `why` says at what.
  Socket reach(const Launch& launch, std::string& why) {
    std::vector<std::string> hosts = {host_};
    uint16_t port = port_;
    if (!file_.empty()) {
      hosts.clear();
      if (!std::filesystem::exists(file_)) {
        why = "rank 0 did not write " + file_ + "; is the folder shared by all machines?";
        return Socket();
      }
      std::istringstream lines(read_file(file_));
      lines >> token_ >> port;
      for (std::string host; lines >> host;) hosts.push_back(host);
    }
    for (const std::string& host : hosts) {
      Addresses addresses(host, std::to_string(port));
      for (const addrinfo* address = addresses.first(); address; address = address->ai_next) {
        Socket socket = connect_to(*address);
        if (!socket) {
          why = fmt::format("{}, port {}: {}", host, port, std::strerror(errno));
          continue;
        }
        const Hello hello{token_, launch.rank, launch.size};
        uint64_t answer = 0;
        socket.set_timeout(welcome_seconds);
        if (socket.write(&hello, sizeof hello) && socket.read(&answer, sizeof answer) && answer == token_)
          return socket;
        why = fmt::format("{}, port {}: it is not rank 0 that listens there", host, port);
      }
    }
    return Socket();
  }

 private:
  std::string address_, host_, file_;
  uint16_t port_ = 0;
  uint64_t token_ = 0;
};

class TcpCommunicator : public Communicator {
 public:
  TcpCommunicator(const Launch& launch, const std::string& address)
      : Communicator(launch.rank, launch.size, launch.local_rank), peers_(launch.size) {
    Place place(address);
    rank() == 0 ? receive_all(place) : find_rank_0(place, launch);
    for (const Socket& peer : peers_)
      if (peer) peer.set_timeout(timeout_seconds() + turn_seconds());
  }

  ~TcpCommunicator() override {
    // A launcher ends all ranks when the first leaves: that is rank 0, which speaks for all.
    char ignored = 0;
    if (rank() != 0 && std::uncaught_exceptions() == 0) peers_[0].read(&ignored, 1);
  }

  std::string describe() const override { return "TCP"; }
  void attach(Backend&) override {}
  void wait(Ticket) override {}

  [[noreturn]] void abort(int exit_code) override {
    for (const Socket& peer : peers_)
      if (peer) send(peer.fd(), &farewell, sizeof farewell, MSG_NOSIGNAL | MSG_DONTWAIT);
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

 private:
  [[noreturn]] static void no_tensors() {
    fail_on_all("where ROWAN_RENDEZVOUS is set only NCCL carries tensors; use mpirun, without ROWAN_RENDEZVOUS");
  }

  [[noreturn]] void leave(const std::string& message) {
    fmt::print(stderr, "rowan: {}{}\n", rank() == 0 ? "" : fmt::format("rank {}: ", rank()), message);
    abort(2);
  }

  void receive_all(Place& place) {
    const auto deadline = Clock::now() + Seconds(timeout_seconds());
    try {
      const Socket listener = place.open();
      std::vector<int> missing;
      do {
        pollfd ready{listener.fd(), POLLIN, 0};
        if (poll(&ready, 1, 100) > 0) welcome(Socket(accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC)), place);
        missing.clear();
        for (int r = 1; r < size(); ++r)
          if (!peers_[r]) missing.push_back(r);
      } while (!missing.empty() && Clock::now() < deadline);
      place.remove();
      if (!missing.empty())
        leave(fmt::format("{}: rank 0, on {}, has waited {:g} s (ROWAN_TIMEOUT) for {} of {}", place.text(),
                          machine_name(), timeout_seconds(), ranks_text(missing), size()));
    } catch (const Error& error) {
      leave(fmt::format("{}: {}", place.text(), error.what()));
    }
  }

  void welcome(Socket peer, const Place& place) {
    Hello hello{};
    peer.set_timeout(hello_seconds);
    if (!peer.read(&hello, sizeof hello) || hello.token != place.token()) return;
    if (hello.rank < 1 || hello.rank >= size() || hello.size != size()) return;
    if (peer.write(&hello.token, sizeof hello.token)) peers_[hello.rank] = std::move(peer);
  }

  void find_rank_0(Place& place, const Launch& launch) {
    const auto deadline = Clock::now() + Seconds(timeout_seconds() + turn_seconds());
    for (std::string why;; std::this_thread::sleep_for(pause_between_attempts)) {
      try {
        peers_[0] = place.reach(launch, why);
        if (peers_[0]) return;
      } catch (const Error& error) {  // a name that is not known yet
        why = error.what();
      }
      if (Clock::now() > deadline)
        leave(fmt::format("{}: no rank 0 for {:g} s (ROWAN_TIMEOUT); {}", place.text(), timeout_seconds(), why));
    }
  }

  static std::string framed(const std::string& message) {
    const uint64_t length = message.size();
    return std::string(reinterpret_cast<const char*>(&length), sizeof length) + message;
  }

  static std::vector<std::string> parts_of(const std::string& frames) {
    std::vector<std::string> parts;
    for (size_t at = 0; at < frames.size(); at += sizeof(uint64_t) + parts.back().size()) {
      uint64_t length = 0;
      std::memcpy(&length, frames.data() + at, sizeof length);
      parts.push_back(frames.substr(at + sizeof length, length));
    }
    return parts;
  }

  void transmit(int to, const std::string& frame) {
    if (peers_[to].write(frame.data(), frame.size())) return;
    if (errno != EAGAIN) receive(to);  // perhaps a farewell
    lost(to);
  }

  std::string receive(int from) {
    uint64_t length = 0;
    if (!peers_[from].read(&length, sizeof length)) lost(from);
    if (length == farewell) abort(2);
    std::string message(length, '\0');
    if (!peers_[from].read(message.data(), length)) lost(from);
    return message;
  }

  [[noreturn]] void lost(int r) {
    const bool silent = errno == EAGAIN;
    if (!silent) std::this_thread::sleep_for(Seconds(turn_seconds()));
    leave(silent ? fmt::format("rank {} has been silent for {:g} s (ROWAN_TIMEOUT); leaving", r, timeout_seconds())
                 : fmt::format("rank {} is gone; leaving", r));
  }

  std::vector<Socket> peers_;  // of rank 0: one a rank; of the others: rank 0's
};

}  // namespace

std::unique_ptr<Communicator> make_tcp_communicator(const Launch& launch, const std::string& address) {
  return std::make_unique<TcpCommunicator>(launch, address);
}

}  // namespace rowan

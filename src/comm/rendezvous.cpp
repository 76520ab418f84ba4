#include "comm/rendezvous.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>
#include <sstream>
#include <utility>
#include <vector>

#include "base/console.h"
#include "base/files.h"
#include "comm/agreement.h"

namespace rowan {

namespace {

using Clock = std::chrono::steady_clock;

constexpr double connect_seconds = 2, hello_seconds = 2, welcome_seconds = 10;
constexpr size_t most_guests = 4096;  // simultaneous connections whose Hello is incomplete
constexpr int most_refusals_told = 5;

// Repeats `call` until all bytes are transferred. Returns false, with errno set, if that fails.
template <typename Call>
bool whole(size_t bytes, const Call& call) {
  for (size_t done = 0; done < bytes;) {
    const ssize_t n = call(done);
    if (n > 0) done += static_cast<size_t>(n);
    if (n == 0) errno = ECONNRESET;
    if (n == 0 || (n < 0 && errno != EINTR)) return false;
  }
  return true;
}

class Addresses {
 public:
  // Throws Error if the host name cannot be resolved.
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

// Listens on all IPv6 and IPv4 addresses of this machine. If that fails, listens on the IPv4 addresses alone. Port 0
// stands for any free port. Throws Error if both attempts fail.
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
  sockaddr_in6 address{};  // or a sockaddr_in, whose port is at the same offset
  socklen_t size = sizeof address;
  getsockname(listener.fd(), reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin6_port);
}

// The numeric addresses of this machine, loopback addresses last. IPv6 link-local addresses are left out.
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
      if (!std::strchr(text, '%')) all.emplace_back(text);  // an IPv6 link-local address has a '%'
    }
  }
  freeifaddrs(list);
  return all;
}

Socket connect_to(const addrinfo& address) {
  Socket socket(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return socket;
  socket.set_timeout(connect_seconds);  // on Linux this also limits connect()
  if (connect(socket.fd(), address.ai_addr, address.ai_addrlen)) {
    const int error = errno == EINPROGRESS ? ETIMEDOUT : errno;
    socket = Socket();
    errno = error;
  }
  return socket;
}

// The secret in ROWAN_SECRET, or else in the file that ROWAN_SECRET_FILE names; "" if neither is set.
std::string secret_from_environment() {
  const char *value = std::getenv("ROWAN_SECRET"), *file = std::getenv("ROWAN_SECRET_FILE");
  if (value != nullptr && *value) return value;
  if (file == nullptr || !*file) return "";
  std::string text;
  try {
    text = read_file(file);
  } catch (const Error& error) {
    fail("ROWAN_SECRET_FILE: {}", error.what());
  }
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  if (text.empty()) fail("ROWAN_SECRET_FILE: {} is empty", file);
  return text;
}

std::string address_of(const Socket& peer) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  char text[NI_MAXHOST] = "an unknown address";
  if (getpeername(peer.fd(), reinterpret_cast<sockaddr*>(&address), &size) == 0)
    getnameinfo(reinterpret_cast<sockaddr*>(&address), size, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
  return text;
}

}  // namespace

Socket::Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Socket::~Socket() {
  if (fd_ >= 0) ::close(fd_);
}

void Socket::set_timeout(double seconds) const {
  const auto whole = static_cast<time_t>(seconds);
  const timeval limit{whole, static_cast<suseconds_t>((seconds - static_cast<double>(whole)) * 1e6)};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

bool Socket::read(void* data, size_t bytes) const {
  return whole(bytes, [&](size_t done) { return recv(fd_, static_cast<char*>(data) + done, bytes - done, 0); });
}

bool Socket::write(const void* data, size_t bytes) const {
  return whole(
      bytes, [&](size_t done) { return send(fd_, static_cast<const char*>(data) + done, bytes - done, MSG_NOSIGNAL); });
}

Rendezvous::Rendezvous(const std::string& address) : address_(address) {
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
    const std::string secret = secret_from_environment();
    if (secret.empty())
      fail_on_all(
          "ROWAN_RENDEZVOUS: '{}' needs a secret known to all ranks and nobody else, in ROWAN_SECRET or in the file "
          "that ROWAN_SECRET_FILE names; file:PATH needs no secret",
          address);
    token_ = hash64("rowan rendezvous " + step + "\n" + secret);
  } else {
    fail_on_all("ROWAN_RENDEZVOUS: found '{}', expected file:PATH or tcp:HOST:PORT", address);
  }
}

Socket Rendezvous::open() {
  Socket listener = listen_at(port_);
  if (file_.empty()) return listener;
  token_ = std::random_device()() | static_cast<uint64_t>(std::random_device()()) << 32;
  std::string text = fmt::format("{} {}\n", token_, port_of(listener));
  for (const std::string& address : addresses_of_this_machine()) text += address + "\n";
  const mode_t before = ::umask(077);  // the file is readable by its owner only
  try {
    write_file_atomically(file_, text);
  } catch (...) {
    ::umask(before);
    throw;
  }
  ::umask(before);
  return listener;
}

int Rendezvous::welcome(const Socket& listener, int size, Socket& peer) {
  std::vector<pollfd> ready = {{listener.fd(), POLLIN, 0}};
  for (const Guest& guest : guests_) ready.push_back({guest.socket.fd(), POLLIN, 0});
  if (poll(ready.data(), ready.size(), 100) > 0 && ready[0].revents != 0) {
    Socket socket(accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC));
    const auto deadline = Clock::now() + std::chrono::milliseconds(static_cast<int>(1000 * hello_seconds));
    if (socket && guests_.size() < most_guests) guests_.push_back({std::move(socket), deadline});
  }
  for (size_t i = 0; i < guests_.size(); ++i) {
    Guest& guest = guests_[i];
    const bool stays = receive_hello(guest, size);
    const bool complete = stays && guest.received == sizeof guest.hello;
    if (stays && !complete && Clock::now() < guest.deadline) continue;
    if (stays && !complete) refuse(guest.socket, "it sent no complete greeting");
    if (complete) peer = std::move(guest.socket);
    const int rank = complete ? guest.hello.rank : -1;
    guests_.erase(guests_.begin() + static_cast<std::ptrdiff_t>(i--));
    if (complete) return rank;
  }
  return -1;
}

// Reads the bytes of a Hello that have arrived. Returns false when the connection is lost or the guest was refused.
bool Rendezvous::receive_hello(Guest& guest, int size) {
  char* to = reinterpret_cast<char*>(&guest.hello);
  const ssize_t got = recv(guest.socket.fd(), to + guest.received, sizeof guest.hello - guest.received, MSG_DONTWAIT);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  guest.received += static_cast<size_t>(got);
  if (guest.received < sizeof guest.hello) return true;
  const Hello& hello = guest.hello;
  if (hello.token != token_) {
    refuse(guest.socket, "it did not send the secret of this run");
    return false;
  }
  if (hello.rank >= 1 && hello.rank < size && hello.size == size) return true;
  refuse(guest.socket,
         fmt::format("found rank {} of {}, expected rank 1 to {} of {}", hello.rank, hello.size, size - 1, size));
  return false;
}

bool Rendezvous::answer(const Socket& peer) const {
  peer.set_timeout(hello_seconds);
  return peer.write(&token_, sizeof token_);
}

bool Rendezvous::is_there(const Socket& peer) {
  char byte;
  const ssize_t got = recv(peer.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

void Rendezvous::refuse(const Socket& guest, const std::string& why) {
  if (++refused_ > most_refusals_told) return;
  tell("rowan: {}: refused {}: {}{}\n", address_, address_of(guest), why,
       refused_ == most_refusals_told ? "; further refusals are not reported" : "");
}

void Rendezvous::close() const {
  std::error_code ignored;
  if (!file_.empty()) std::filesystem::remove(file_, ignored);
}

Socket Rendezvous::reach(const Launch& launch, std::string& why) {
  std::vector<std::string> hosts = {host_};
  uint16_t port = port_;
  if (!file_.empty()) {
    hosts.clear();
    if (!std::filesystem::exists(file_)) {
      why = "found no " + file_ + "; has rank 0 started, and is the folder shared by all machines?";
      return Socket();
    }
    std::istringstream lines(read_file(file_));
    lines >> token_ >> port;
    for (std::string host; lines >> host;) hosts.push_back(host);
    if (hosts.empty() || port == 0) why = file_ + ": damaged: found no port and address of rank 0; remove the file";
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
      if (socket.write(&hello, sizeof hello) && socket.read(&answer, sizeof answer) && answer == token_) return socket;
      why = fmt::format("{}, port {}: rank 0 did not accept this rank", host, port);
    }
  }
  return Socket();
}

}  // namespace rowan

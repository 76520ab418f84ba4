// Where ranks meet that no MPI brings together: rank 0 listens, and the others find it.
#pragma once

#include <cstdint>
#include <string>

#include "comm/communicator.h"

namespace rowan {

// A TCP connection or listener; closed when destroyed.
class Socket {
 public:
  explicit Socket(int fd = -1) : fd_(fd) {}
  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) noexcept;
  ~Socket();
  explicit operator bool() const { return fd_ >= 0; }
  int fd() const { return fd_; }

  // A read or write that takes longer fails.
  void set_timeout(double seconds) const;
  // False, with errno set, when the other end is gone (ECONNRESET, EPIPE) or silent (EAGAIN).
  bool read(void* data, size_t bytes) const;
  bool write(const void* data, size_t bytes) const;

 private:
  int fd_;
};

class Rendezvous {
 public:
  // tcp:HOST:PORT or file:PATH, as make_tcp_communicator() says. Throws AgreedError when it is malformed.
  explicit Rendezvous(const std::string& address);

  const std::string& text() const { return address_; }

  // Rank 0's listener, and the file that says where it is. Throws Error.
  Socket open();
  // Rank 0 waits up to 0.1 s for another of `size` ranks. Returns which came, or -1 for nobody and for strangers.
  int welcome(const Socket& listener, int size, Socket& peer) const;
  // Takes the file away.
  void close() const;

  // One attempt to reach rank 0, from another rank. When it fails, `why` says at what. Throws Error for a name that is
  // not known.
  Socket reach(const Launch& launch, std::string& why);

 private:
  std::string address_, host_, file_;
  uint16_t port_ = 0;
  uint64_t token_ = 0;  // others that happen to connect do not know it
};

}  // namespace rowan

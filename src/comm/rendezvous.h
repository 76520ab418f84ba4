// Rendezvous: how ranks find each other without MPI. Rank 0 listens, and the others connect to it.
//
// A rank authenticates itself with a secret. With file:PATH, rank 0 draws a new secret for each run and writes it to a
// file that only its owner can read. With tcp:HOST:PORT, the secret is ROWAN_SECRET, or the content of the file that
// ROWAN_SECRET_FILE names. Nothing is encrypted, and rank 0 listens on all addresses of its machine. The rendezvous is
// meant for the network inside a cluster. The secret keeps out strangers who can reach the port. It does not protect
// against anyone who can read the traffic.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "comm/launch.h"

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

  // Sets the time after which a read or write fails.
  void set_timeout(double seconds) const;
  // read() and write() transfer all bytes. They return false, with errno set, when that fails: the other end has
  // disconnected (ECONNRESET, EPIPE), or the timeout has passed (EAGAIN).
  bool read(void* data, size_t bytes) const;
  bool write(const void* data, size_t bytes) const;

 private:
  int fd_;
};

class Rendezvous {
 public:
  // `address` is tcp:HOST:PORT or file:PATH (see make_tcp_communicator()). Throws AgreedError when it is malformed, or
  // when the secret of tcp: is missing, and Error when the file of the secret cannot be read on this machine.
  explicit Rendezvous(const std::string& address);

  const std::string& text() const { return address_; }

  // Opens rank 0's listener. With file:PATH, also writes the secret, the port and the addresses of this machine to the
  // file. Throws Error if that fails.
  Socket open();
  // Waits up to 0.1 s for a rank to connect or to send, then reads what has arrived on connections whose Hello is
  // incomplete. If one of `size` ranks has completed a valid Hello, sets `peer` to its connection and returns the rank;
  // else returns -1. Refuses and closes a connection if its Hello is invalid, or is still incomplete after 2 s.
  int welcome(const Socket& listener, int size, Socket& peer);
  // Whether `peer`, an accepted rank, is still connected.
  static bool is_there(const Socket& peer);
  // Prints that a connection is refused; after five refusals, prints nothing.
  void refuse(const Socket& guest, const std::string& why);
  // Tells a rank that it is accepted. Returns false when that fails.
  bool answer(const Socket& peer) const;
  // Removes the rendezvous file, if there is one.
  void close() const;

  // Called by ranks other than 0. Makes one attempt to connect to rank 0. If the attempt fails, the Socket is empty and
  // `why` gives the reason. Throws Error if a host name cannot be resolved or the rendezvous file cannot be read.
  Socket reach(const Launch& launch, std::string& why);

 private:
  // The first message of a rank; rank 0 answers with the token.
  struct Hello {
    uint64_t token;
    int32_t rank, size;
  };
  // A connection whose Hello is still incomplete.
  struct Guest {
    Socket socket;
    std::chrono::steady_clock::time_point deadline;
    size_t received = 0;
    Hello hello{};
  };

  std::string address_, host_, file_;
  uint16_t port_ = 0;
  uint64_t token_ = 0;  // with file:PATH, the secret; with tcp:HOST:PORT, a hash of secret, job and step
  std::vector<Guest> guests_;
  int refused_ = 0;

  bool receive_hello(Guest& guest, int size);
};

}  // namespace rowan

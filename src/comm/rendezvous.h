// Where ranks meet that no MPI brings together: rank 0 listens, and the others find it.
//
// Who knows the job's secret is a rank: file:PATH draws one anew for each job and keeps it in a file that only its
// owner can read; tcp:HOST:PORT takes it from ROWAN_SECRET, or from the file that ROWAN_SECRET_FILE names. Secret and
// tensors travel in the clear, and rank 0 listens at all addresses of its machine: this is made for the network inside
// a cluster, and keeps out whoever can reach the port but cannot listen in.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

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
  // tcp:HOST:PORT or file:PATH, as make_tcp_communicator() says. Throws AgreedError when it is malformed or tcp: has no
  // secret.
  explicit Rendezvous(const std::string& address);

  const std::string& text() const { return address_; }

  // Rank 0's listener, and the file that says where it is. Throws Error.
  Socket open();
  // Rank 0 waits up to 0.1 s for another of `size` ranks; all that connect are heard at the same time. Returns which
  // came, or -1 for nobody. Strangers are sent away with a line that names their address.
  int welcome(const Socket& listener, int size, Socket& peer);
  // Whether `peer`, which was welcomed, is still there; a second rank of its number is sent away then.
  static bool is_there(const Socket& peer);
  void refuse(const Socket& guest, const std::string& why);
  // Tells a rank that it is welcome; false when it has left.
  bool answer(const Socket& peer) const;
  // Takes the file away.
  void close() const;

  // One attempt to reach rank 0, from another rank. When it fails, `why` says at what. Throws Error for a name that is
  // not known.
  Socket reach(const Launch& launch, std::string& why);

 private:
  // What a rank says first; rank 0 answers with the token.
  struct Hello {
    uint64_t token;
    int32_t rank, size;
  };
  // Somebody who has connected and not yet said all of it.
  struct Guest {
    Socket socket;
    std::chrono::steady_clock::time_point deadline;
    size_t heard = 0;
    Hello hello{};
  };

  std::string address_, host_, file_;
  uint16_t port_ = 0;
  uint64_t token_ = 0;  // made of the secret
  std::vector<Guest> guests_;
  int refused_ = 0;

  bool hear(Guest& guest, int size);
};

}  // namespace rowan

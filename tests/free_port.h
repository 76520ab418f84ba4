// Ports of this machine for tests that listen.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <random>
#include <string>

namespace rowan {

// A port that no other process can use while the object exists. 0 stands for any free port.
class Port {
 public:
  explicit Port(int number = 0) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    socklen_t size = sizeof address_;
    address_.sin_family = AF_INET;
    address_.sin_port = htons(static_cast<uint16_t>(number));
    bound_ = ::bind(socket_, reinterpret_cast<sockaddr*>(&address_), size) == 0;
    if (bound_) ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address_), &size);
  }
  ~Port() { ::close(socket_); }
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  bool bound() const { return bound_; }  // false: another process uses the port
  void listen() { ::listen(socket_, 1); }
  std::string number() const { return std::to_string(ntohs(address_.sin_port)); }

 private:
  int socket_;
  bool bound_;
  sockaddr_in address_{};
};

// A free port from 20000 to 31999. The ports of outgoing connections are usually higher, so none of them takes this
// port before the test listens. The choice is random, so that tests at the same time take different ports.
inline std::string free_port() {
  std::random_device random;
  for (;;)
    if (const Port port(20000 + static_cast<int>(random() % 12000)); port.bound()) return port.number();
}

}  // namespace rowan

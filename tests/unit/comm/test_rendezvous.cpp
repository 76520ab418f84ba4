#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "comm/rendezvous.h"
#include "comm/transports.h"
#include "free_port.h"
#include "temporary_folder.h"

namespace rowan {
namespace {

using Clock = std::chrono::steady_clock;

class RendezvousTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("ROWAN_SECRET", "a secret of the test", 1);
    ::setenv("ROWAN_TIMEOUT", "20", 1);
  }
  void TearDown() override {
    for (const char* name : {"ROWAN_SECRET", "ROWAN_SECRET_FILE", "ROWAN_TIMEOUT"}) ::unsetenv(name);
  }

  const std::string port_ = free_port(), address_ = "tcp:127.0.0.1:" + port_;

  // A client that connects and sends `words`.
  Socket stranger(std::string_view words) const {
    Socket socket(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET, to.sin_port = htons(static_cast<uint16_t>(std::stoi(port_)));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(socket.fd(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0) << std::strerror(errno);
    EXPECT_TRUE(socket.write(words.data(), words.size()));
    return socket;
  }

  std::string error_of(const std::string& address) const {
    try {
      Rendezvous place(address);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(RendezvousTest, TcpNeedsASecret) {
  EXPECT_EQ(error_of(address_), "");
  ::unsetenv("ROWAN_SECRET");
  EXPECT_NE(error_of(address_).find("needs a secret known to all ranks"), std::string::npos) << error_of(address_);
  TemporaryFolder folder;
  EXPECT_EQ(error_of("file:" + folder / "meet"), "");
  ::setenv("ROWAN_SECRET_FILE", (folder / "none").c_str(), 1);
  EXPECT_NE(error_of(address_).find("ROWAN_SECRET_FILE: cannot open"), std::string::npos);
  ::setenv("ROWAN_SECRET_FILE", folder.write("empty", "\n").c_str(), 1);
  EXPECT_NE(error_of(address_).find("is empty"), std::string::npos);
  ::setenv("ROWAN_SECRET_FILE", folder.write("secret", "words\n").c_str(), 1);
  EXPECT_EQ(error_of(address_), "");
}

TEST_F(RendezvousTest, TheFileIsForItsOwnerOnly) {
  TemporaryFolder folder;
  Rendezvous place("file:" + (folder / "meet"));
  const Socket listener = place.open();
  for (const auto& entry : std::filesystem::directory_iterator(folder / ""))
    EXPECT_EQ(entry.status().permissions(), std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

// A rendezvous that waited two seconds for each of fifty silent clients would be too slow.
TEST_F(RendezvousTest, StrangersHoldNobodyUp) {
  Rendezvous place(address_);
  const Socket listener = place.open();
  std::vector<Socket> silent;
  for (int i = 0; i < 50; ++i) silent.push_back(stranger(i % 2 ? "half a h" : ""));
  silent.push_back(stranger("GET / HTTP/1.1\r\n\r\n"));
  Socket found;
  std::thread other([&] {
    Rendezvous theirs(address_);
    std::string why;
    for (int i = 0; i < 100 && !found; ++i) found = theirs.reach({Launch::Kind::slurm, 1, 2, 1}, why);
  });
  testing::internal::CaptureStderr();
  const auto start = Clock::now();
  Socket peer;
  int who = -1;
  while (who < 0 && Clock::now() < start + std::chrono::seconds(15)) who = place.welcome(listener, 2, peer);
  EXPECT_EQ(who, 1);
  EXPECT_TRUE(place.answer(peer));
  other.join();
  EXPECT_TRUE(found);
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_NE(told.find("127.0.0.1: it did not send the secret of this run"), std::string::npos) << told;
}

TEST_F(RendezvousTest, ASecondRankOfANumberIsSentAway) {
  testing::internal::CaptureStderr();
  const Launch first{Launch::Kind::slurm, 1, 3, 1}, second{Launch::Kind::slurm, 2, 3, 2};
  std::unique_ptr<Communicator> zero, one, two;
  std::thread root([&] { zero = make_tcp_communicator({Launch::Kind::slurm, 0, 3, 0}, address_); });
  one = make_tcp_communicator(first, address_);
  Rendezvous impostor(address_);
  std::string why;
  EXPECT_FALSE(impostor.reach(first, why));
  two = make_tcp_communicator(second, address_);
  root.join();
  std::thread others([&] { EXPECT_EQ(one->gather("b"), (std::vector<std::string>{"a", "b", "c"})); });
  std::thread more([&] { EXPECT_EQ(two->gather("c"), (std::vector<std::string>{"a", "b", "c"})); });
  EXPECT_EQ(zero->gather("a"), (std::vector<std::string>{"a", "b", "c"}));
  others.join();
  more.join();
  zero.reset();
  EXPECT_NE(testing::internal::GetCapturedStderr().find("rank 1 is connected already"), std::string::npos);
}

TEST_F(RendezvousTest, LengthsAreBounded) {
  EXPECT_EXIT(
      {
        std::thread liar([&] {
          Rendezvous theirs(address_);
          std::string why;
          Socket socket;
          while (!socket) socket = theirs.reach({Launch::Kind::slurm, 1, 2, 1}, why);
          const uint64_t length = uint64_t{1} << 40;
          socket.write(&length, sizeof length);
          std::this_thread::sleep_for(std::chrono::seconds(20));
        });
        make_tcp_communicator({Launch::Kind::slurm, 0, 2, 0}, address_)->gather("a");
        liar.join();
      },
      testing::ExitedWithCode(2), "rank 1: found a message of 1099511627776 bytes, expected at most ");
}

}  // namespace
}  // namespace rowan

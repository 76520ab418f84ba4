// Runs the program as a user does, in the test's own folder.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/files.h"
#include "exit_code.h"
#include "paths.h"

namespace rowan {

struct Outcome {
  int code;
  std::string out, err;
};

class CommandTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = std::filesystem::temp_directory_path() / ("rowan_command_" + std::to_string(::getpid()));
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  Outcome rowan(const std::string& arguments) { return shell(rowan_command() + " " + arguments); }
  Outcome shell(const std::string& command) {
    const std::string out = (dir_ / "out").string(), err = (dir_ / "err").string();
    int status = std::system((command + " >" + out + " 2>" + err).c_str());
    return {exit_code(status), read_file(out), read_file(err)};
  }

  // Starts the command in the background. Its output goes to `log`.
  pid_t start(const std::string& arguments) {
    const pid_t child = ::fork();
    if (child == 0) {
      const std::string command =
          "exec " + rowan_command() + " " + arguments + " >" + (dir_ / "log").string() + " 2>&1";
      ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
      ::_exit(127);
    }
    return child;
  }
  std::string log() { return read_file(dir_ / "log"); }
  // Waits until `there` returns true. Fails if the process ends first.
  void until(pid_t child, const std::function<bool()>& there) {
    while (!there()) {
      ASSERT_EQ(::waitpid(child, nullptr, WNOHANG), 0) << log();
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }
  // Waits for the end of the process. Returns its exit code, or minus the signal that ended it.
  static int code_of(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return exit_code(status);
  }

  // Expects exit code 2, nothing on stdout, and one line on stderr that contains `part`.
  void expect_mistake(const std::string& arguments, const std::string& part) {
    Outcome result = rowan(arguments);
    EXPECT_EQ(result.code, 2) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  }

  // Like expect_mistake(), but for several ranks: expects exit code 2, and exactly one line on stderr that starts with
  // "rowan: ". This line must contain `part`. A launcher may print further lines.
  void expect_one_line(const std::string& command, const std::string& part) {
    Outcome result = shell(command);
    EXPECT_EQ(result.code, 2) << result.err;
    std::istringstream lines(result.err);
    std::vector<std::string> ours;
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with("rowan: ")) ours.push_back(line);
    ASSERT_EQ(ours.size(), 1) << result.err;
    EXPECT_NE(ours[0].find(part), std::string::npos) << ours[0];
  }

  std::filesystem::path dir_;
};

}  // namespace rowan

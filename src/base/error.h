// Errors that a user can cause or must know about. A message is one line. A typical message names the place (file,
// field or byte), what was found, and what was expected: "run.steps: found -1, expected at least 0". If a command does
// not catch an Error, main() prints the message to stderr and returns 2.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>

namespace rowan {

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

// Thrown when a device is asked for that this machine or this build does not have.
class NoDevice : public Error {
 public:
  using Error::Error;
};

// Thrown when an allocation does not fit into the memory of a device or of the host.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

// The message on one line: control characters are replaced by '?', so that text of a user, such as a path, adds no line
// and no escape sequence of a terminal.
std::string one_line(std::string message);

[[noreturn]] void fail_with(fmt::string_view format, fmt::format_args args);

// Throws Error with a message formatted by fmt.
template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  fail_with(format, fmt::make_format_args(args...));
}

}  // namespace rowan

// Errors a user can cause or must know of. Every message is one line that names the place (file, field, byte),
// what was found and what is allowed. `rowan` prints it to stderr and exits with 2.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>

namespace rowan {

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

// Memory that a device does not have. Whoever knows what the whole work needs adds it to the message.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

[[noreturn]] void fail_with(fmt::string_view format, fmt::format_args args);

// Throws Error with a message formatted by fmt.
template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  fail_with(format, fmt::make_format_args(args...));
}

}  // namespace rowan

// error_of() and EXPECT_ERROR, for tests of messages.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

namespace rowan {

// The message of the Error that `action` throws, or "" if it throws none.
template <typename Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << "one line";
    return error.what();
  }
  return "";
}

}  // namespace rowan

#define EXPECT_ERROR(action, text)                                                          \
  do {                                                                                      \
    const std::string message = ::rowan::error_of([&] { action; });                         \
    EXPECT_NE(message.find(text), std::string::npos) << "message was: '" << message << "'"; \
  } while (false)

// Runs a command of the program in the process of the test.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <iterator>
#include <sstream>
#include <string>

#include "base/error.h"
#include "commands/command_line.h"

namespace rowan {

struct Told {
  std::string out, err;
  std::string error;  // the message of the command's Error; "" if it threw none
};

// `add` adds the command, such as add_eval; `arguments` are separated by spaces.
inline Told run_command(void (*add)(CommandLine&), const std::string& arguments) {
  CommandLine line("rowan", "");
  add(line);
  std::istringstream words(arguments);
  Told told;
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  try {
    line.parse({std::istream_iterator<std::string>(words), {}});
  } catch (const Error& error) {
    told.error = error.what();
  }
  std::fflush(stdout);
  told.out = testing::internal::GetCapturedStdout();
  told.err = testing::internal::GetCapturedStderr();
  return told;
}

}  // namespace rowan

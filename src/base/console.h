// What people are shown: progress, notes, errors. Text that cannot be written, because a disk is full or a terminal is
// gone, is lost, and the work goes on. Results that a command was asked for are something else: fmt::print writes them
// to stdout, and check_results_written() is the command's last word.
#pragma once

#include <fmt/core.h>

#include <cstdio>
#include <string_view>

namespace rowan {

// Writes and flushes; never throws, never fails.
void show(std::FILE* out, std::string_view text) noexcept;

// To stderr.
template <typename... Args>
void tell(fmt::format_string<Args...> format, Args&&... args) {
  show(stderr, fmt::format(format, std::forward<Args>(args)...));
}

// Throws Error when something that was printed to stdout did not arrive.
void check_results_written();

// Gives 0, 1 and 2 a descriptor where the caller has closed them, so that no file of ours becomes one of these. What is
// then written to stdout or stderr fails as a write.
void hold_standard_descriptors();

}  // namespace rowan

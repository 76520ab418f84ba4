// What people are shown: progress, notes, errors. Text that cannot be written, because a disk is full or a terminal is
// closed, is lost, and the work continues. The results of a command must not be lost: fmt::print writes them to stdout,
// and main() calls check_results_written() at the end.
#pragma once

#include <fmt/core.h>

#include <cstdio>
#include <string>
#include <string_view>

namespace rowan {

// Writes and flushes; never throws. False when some of it could not be written.
bool show(std::FILE* out, std::string_view text) noexcept;

// To stderr.
template <typename... Args>
void tell(fmt::format_string<Args...> format, Args&&... args) {
  show(stderr, fmt::format(format, std::forward<Args>(args)...));
}

bool is_terminal(std::FILE* file);
// Of the terminal that `file` is; 0 where it is none or does not say.
size_t terminal_columns(std::FILE* file);
// Columns that a text takes: characters, not bytes.
size_t columns_of(std::string_view text);
// Breaks lines longer than `columns` at a blank where they have one; what follows stands `indent` columns to the right.
// columns = 0: as it is.
std::string wrapped(std::string_view text, size_t columns, size_t indent = 0);

// Throws Error when something that was printed to stdout did not arrive.
void check_results_written();

// Gives 0, 1 and 2 a descriptor where the caller has closed them, so that no file of ours becomes one of these. What is
// then written to stdout or stderr fails as a write.
void hold_standard_descriptors();

}  // namespace rowan

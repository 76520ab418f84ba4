// Console output for people: progress, notes, errors. Text that cannot be written, because a disk is full or a terminal
// is closed, is lost, and the work continues. The results of a command must not be lost: fmt::print writes them to
// stdout, and main() calls check_results_written() at the end.
#pragma once

#include <fmt/core.h>

#include <cstdio>
#include <string>
#include <string_view>

namespace rowan {

// Writes and flushes; never throws. Returns false if some of the text could not be written.
bool show(std::FILE* out, std::string_view text) noexcept;

// Formats a line and writes it to stderr.
template <typename... Args>
void tell(fmt::format_string<Args...> format, Args&&... args) {
  show(stderr, fmt::format(format, std::forward<Args>(args)...));
}

bool is_terminal(std::FILE* file);
// The width of the terminal to which `file` is connected; 0 if it is no terminal or the width is unknown.
size_t terminal_columns(std::FILE* file);
// The number of columns that a text occupies: characters, not bytes.
size_t columns_of(std::string_view text);
// Breaks lines longer than `columns` at a blank if they have one, and indents the continuation by `indent` columns.
// columns = 0: returns the text unchanged.
std::string wrapped(std::string_view text, size_t columns, size_t indent = 0);

// Throws Error if something printed to stdout could not be written.
void check_results_written();

// Opens descriptors 0, 1 and 2 if the caller closed them, so that no file of ours gets one of these numbers. Later
// writes to such a stdout or stderr fail as writes.
void hold_standard_descriptors();

}  // namespace rowan

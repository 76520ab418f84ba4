// Console output: texts for people, results, and the standard descriptors. If show() or tell() cannot write a text (the
// disk is full, the terminal is closed), the text is dropped and the program continues. The results of a command must
// not be dropped: fmt::print writes them to stdout, and main() calls check_results_written() after a command that
// succeeds.
#pragma once

#include <fmt/core.h>

#include <cstdio>
#include <string>
#include <string_view>

namespace rowan {

// Writes `text` and flushes `out`. Returns false if part of the text could not be written.
bool show(std::FILE* out, std::string_view text) noexcept;

// `text` as one word of a shell command: as it is if it has only letters, digits and characters without a meaning to
// the shell, else in single quotes.
std::string shell_word(const std::string& text);

bool is_terminal(std::FILE* file);
// The width of the terminal to which `file` is connected; 0 if `file` is not a terminal or the width is unknown.
size_t terminal_columns(std::FILE* file);
// The number of terminal columns of a UTF-8 text, counting one column per code point.
size_t columns_of(std::string_view text);
// Breaks lines longer than `columns` at spaces, where possible, and indents continuation lines by `indent` columns.
// Returns the text unchanged if columns <= indent + 8. This includes columns == 0, which stands for an unknown width.
std::string wrapped(std::string_view text, size_t columns, size_t indent = 0);

// Formats a text and writes it to stderr, wrapped to the width of the terminal. Adds no newline.
template <typename... Args>
void tell(fmt::format_string<Args...> format, Args&&... args) {
  show(stderr, wrapped(fmt::format(format, std::forward<Args>(args)...), terminal_columns(stderr)));
}

// Formats a text and prints it to stdout, broken at spaces where possible to fit a terminal. Adds no newline.
// Continuation lines are indented by `indent` columns.
template <typename... Args>
void print_wrapped(size_t indent, fmt::format_string<Args...> format, Args&&... args) {
  fmt::print("{}", wrapped(fmt::format(format, std::forward<Args>(args)...), terminal_columns(stdout), indent));
}

// Throws Error if any output of fmt::print to stdout could not be written.
void check_results_written();
// The message about results that could not be written for this reason. Names the file behind stdout if there is one.
std::string results_not_written(const std::string& reason);

// Opens /dev/null on each of the file descriptors 0, 1 and 2 that is closed. Otherwise a file opened later could get
// one of these numbers and receive console output. /dev/null is opened read-only, so that writing to a closed stdout or
// stderr still fails.
void hold_standard_descriptors();

}  // namespace rowan

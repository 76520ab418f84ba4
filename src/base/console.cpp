#include "base/console.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "base/error.h"

namespace rowan {

bool show(std::FILE* out, std::string_view text) noexcept {
  const bool written = std::fwrite(text.data(), 1, text.size(), out) == text.size() && std::fflush(out) == 0;
  std::clearerr(out);
  return written;
}

std::string shell_word(const std::string& text) {
  constexpr std::string_view plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./+:=,@%";
  if (!text.empty() && text.find_first_not_of(plain) == std::string::npos) return text;
  std::string word = "'";
  for (char c : text) word += c == '\'' ? "'\\''" : std::string(1, c);
  return word + "'";
}

bool is_terminal(std::FILE* file) { return ::isatty(::fileno(file)) == 1; }

size_t terminal_columns(std::FILE* file) {
  winsize size = {};
  return is_terminal(file) && ::ioctl(::fileno(file), TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

size_t columns_of(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](unsigned char byte) { return (byte & 0xc0) != 0x80; }));
}

std::string wrapped(std::string_view text, size_t columns, size_t indent) {
  std::string out;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    const std::string space(indent, ' ');
    bool first = true;
    while (columns > indent + 8 && columns_of(line) + (first ? 0 : indent) > columns) {
      // Break at the last space that has at most `columns` columns before it, indentation included. The search skips
      // the spaces at the start of the line. For the first break, the search also skips the first `indent` bytes.
      size_t at = std::string_view::npos;
      for (size_t i = line.find_first_not_of(' ', first ? indent : 0); i < line.size(); ++i)
        if (line[i] == ' ' && columns_of(line.substr(0, i)) + (first ? 0 : indent) <= columns) at = i;
      if (at == std::string_view::npos) break;
      out += (first ? "" : space) + std::string(line.substr(0, at)) + "\n";
      line.remove_prefix(std::min(line.find_first_not_of(' ', at), line.size()));
      first = false;
    }
    out += (first ? "" : space) + std::string(line);
    if (end == std::string_view::npos) break;
    out += "\n";
    text.remove_prefix(end + 1);
  }
  return out;
}

void check_results_written() {
  errno = EIO;  // reported if an earlier write failed, whose own errno is lost
  if (std::fflush(stdout) != 0 || std::ferror(stdout)) fail("{}", results_not_written(std::strerror(errno)));
}

std::string results_not_written(const std::string& reason) {
  std::error_code unknown;
  const std::filesystem::path file = std::filesystem::read_symlink("/proc/self/fd/1", unknown);
  // A pipe has no path, and /dev/null stands for a closed stdout.
  const bool named = file.is_absolute() && file != "/dev/null";
  return fmt::format("cannot write to standard output{}: {}", named ? " (" + file.string() + ")" : "", reason);
}

void hold_standard_descriptors() {
  for (int fd = 0; fd <= 2; ++fd)
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) (void)!::open("/dev/null", O_RDONLY);  // opens the lowest free fd
}

}  // namespace rowan

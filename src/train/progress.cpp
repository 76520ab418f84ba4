#include "train/progress.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/console.h"
#include "base/human.h"

namespace rowan {

Progress::Progress(int64_t total_steps, std::FILE* rows, std::FILE* notes, bool in_place)
    : total_steps_(total_steps), rows_(rows), notes_(notes), in_place_(in_place) {}

Progress::~Progress() {
  end_line();
  if (log_) std::fclose(log_);
}

void Progress::keep_log(const std::filesystem::path& file) {
  log_path_ = file;
  // Without O_NONBLOCK, open() would block on a pipe that has no reader.
  const int fd = ::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
  if (fd >= 0) log_ = ::fdopen(fd, "a");
  if (!log_) lose_log();
  keep(std::exchange(before_log_, {}));
}

void Progress::train(const TrainRow& row, double seconds_left) {
  std::vector<std::string> parts = {fmt::format("step {}/{}", row.step, total_steps_),
                                    fmt::format("loss {:.4f}", row.loss),
                                    fmt::format("lr {:.2e}", row.lr),
                                    fmt::format("|g| {:.3g}", row.grad_norm),
                                    fmt::format("{} tok/s", human_count(row.tokens_per_second)),
                                    std::isfinite(row.mfu) ? fmt::format("MFU {:.1f}%", 100 * row.mfu) : "",
                                    row.step < total_steps_ ? "ETA " + human_duration(seconds_left) : ""};
  auto joined = [&] {
    std::string text;
    for (const std::string& part : parts)
      if (!part.empty()) text += (text.empty() ? "" : "  ") + part;
    return text;
  };
  const std::string text = joined();
  if (!in_place_) return line(rows_, text);
  const size_t columns = terminal_columns(rows_);
  for (size_t i : {5, 3, 2, 4})  // parts that a narrow terminal drops, in this order
    if (columns && joined().size() >= columns) parts[i].clear();
  rewrite(joined());
  keep(text + "\n");
}

void Progress::evaluating(int64_t step, double part) {
  if (!in_place_) return;
  if (!passing_) end_line();
  rewrite(fmt::format("step {}/{}  evaluating, {:.0f}%", step, total_steps_, 100 * part));
  passing_ = true;
}

void Progress::rewrite(const std::string& text) {
  // A line wider than the terminal would wrap and could not be rewritten.
  const size_t columns = terminal_columns(rows_);
  show(rows_, "\r\x1b[K" + (columns ? text.substr(0, columns - 1) : text));
  open_line_ = true;
}

void Progress::validation(const ValidationRow& row) {
  std::string text = fmt::format("step {}/{}", row.step, total_steps_);
  if (row.val_loss) text += fmt::format("  validation loss {:.4f}", *row.val_loss);
  for (const auto& [key, value] : row.extra) text += fmt::format("  {} {:.4f}", key, value);
  line(rows_, text);
}

void Progress::message(const std::string& text) { line(notes_, text); }

void Progress::page(const std::vector<std::pair<std::string, std::string>>& lines) {
  for (const auto& [label, text] : lines) {
    std::string_view rest = text, name = label;
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      line(notes_, fmt::format("  {:<12} {}", name, rest.substr(0, end)), 15);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      name = "";
    }
  }
}

void Progress::keep_error(const std::string& text) { keep("rowan: " + text + "\n"); }

void Progress::line(std::FILE* out, const std::string& text, size_t indent) {
  end_line();
  show(out, wrapped(text, terminal_columns(out), indent) + "\n");
  keep(text + "\n");
}

void Progress::keep(const std::string& text) {
  if (log_path_.empty())
    before_log_ += text;
  else if (log_ && !show(log_, text))
    lose_log();
}

void Progress::lose_log() {
  if (std::exchange(log_lost_, true)) return;
  const int code = errno;
  end_line();
  show(notes_,
       fmt::format("warning: cannot write {}: {}; training continues\n", log_path_.string(), std::strerror(code)));
}

void Progress::end_line() {
  if (open_line_) show(rows_, passing_ ? "\r\x1b[K" : "\n");
  open_line_ = passing_ = false;
}

}  // namespace rowan

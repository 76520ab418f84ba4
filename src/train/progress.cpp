#include "train/progress.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>
#include <utility>

#include "base/console.h"
#include "base/human.h"

namespace rowan {
namespace {

// Columns of the terminal; a longer line would wrap and could not be rewritten.
size_t width_of(std::FILE* file) {
  winsize size = {};
  return ::ioctl(::fileno(file), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 120;
}

}  // namespace

bool is_terminal(std::FILE* file) { return ::isatty(::fileno(file)) == 1; }

Progress::Progress(int64_t total_steps, std::FILE* rows, std::FILE* notes, bool in_place)
    : total_steps_(total_steps), rows_(rows), notes_(notes), in_place_(in_place) {}

Progress::~Progress() {
  end_line();
  if (log_) std::fclose(log_);
}

void Progress::keep_log(const std::filesystem::path& file) {
  log_ = std::fopen(file.c_str(), "ae");
  keep(std::exchange(before_log_, {}));
}

void Progress::train(const TrainRow& row) {
  std::string text = fmt::format("step {}/{}  loss {:.4f}  lr {:.2e}  |g| {:.3g}  {} tok/s", row.step, total_steps_,
                                 row.loss, row.lr, row.grad_norm, human_count(row.tokens_per_second));
  if (std::isfinite(row.mfu)) text += fmt::format("  MFU {:.1f}%", 100 * row.mfu);
  if (row.step > 0 && row.step < total_steps_) {
    const double tokens_a_step = static_cast<double>(row.tokens) / static_cast<double>(row.step);
    const double tokens_left = tokens_a_step * static_cast<double>(total_steps_ - row.step);
    text += fmt::format("  ETA {}", human_duration(tokens_left / row.tokens_per_second));
  }
  if (!in_place_) return line(rows_, text);
  show(rows_, "\r\x1b[K" + text.substr(0, width_of(rows_) - 1));
  open_line_ = true;
  keep(text + "\n");
}

void Progress::validation(const ValidationRow& row) {
  std::string text = fmt::format("step {}/{}", row.step, total_steps_);
  if (row.val_loss) text += fmt::format("  validation loss {:.4f}", *row.val_loss);
  for (const auto& [key, value] : row.extra) text += fmt::format("  {} {:.4f}", key, value);
  line(rows_, text);
}

void Progress::message(const std::string& text) { line(notes_, text); }

void Progress::keep_error(const std::string& text) { keep("rowan: " + text + "\n"); }

void Progress::line(std::FILE* out, const std::string& text) {
  end_line();
  show(out, text + "\n");
  keep(text + "\n");
}

void Progress::keep(const std::string& text) {
  if (log_)
    show(log_, text);
  else
    before_log_ += text;
}

void Progress::end_line() {
  if (open_line_) show(rows_, "\n");
  open_line_ = false;
}

}  // namespace rowan

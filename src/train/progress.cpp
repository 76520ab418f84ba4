#include "train/progress.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>

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

Progress::Progress(int64_t total_steps, std::FILE* out, bool in_place)
    : total_steps_(total_steps), out_(out), in_place_(in_place) {}

Progress::~Progress() { end_line(); }

void Progress::train(const TrainRow& row) {
  std::string line = fmt::format("step {}/{}  loss {:.4f}  lr {:.2e}  |g| {:.3g}  {} tok/s", row.step, total_steps_,
                                 row.loss, row.lr, row.grad_norm, human_count(row.tokens_per_second));
  if (std::isfinite(row.mfu)) line += fmt::format("  MFU {:.1f}%", 100 * row.mfu);
  if (row.step > 0 && row.step < total_steps_) {
    const double tokens_a_step = static_cast<double>(row.tokens) / static_cast<double>(row.step);
    const double tokens_left = tokens_a_step * static_cast<double>(total_steps_ - row.step);
    line += fmt::format("  ETA {}", human_duration(tokens_left / row.tokens_per_second));
  }
  if (!in_place_) {
    fmt::print(out_, "{}\n", line);
  } else {
    fmt::print(out_, "\r\x1b[K{}", line.substr(0, width_of(out_) - 1));
    open_line_ = true;
  }
  std::fflush(out_);
}

void Progress::validation(const ValidationRow& row) {
  std::string line = fmt::format("step {}/{}", row.step, total_steps_);
  if (row.val_loss) line += fmt::format("  validation loss {:.4f}", *row.val_loss);
  for (const auto& [key, value] : row.extra) line += fmt::format("  {} {:.4f}", key, value);
  message(line);
}

void Progress::message(const std::string& text) {
  end_line();
  fmt::print(out_, "{}\n", text);
  std::fflush(out_);
}

void Progress::end_line() {
  if (open_line_) fmt::print(out_, "\n");
  open_line_ = false;
}

}  // namespace rowan

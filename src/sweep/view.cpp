#include "sweep/view.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "base/console.h"
#include "base/human.h"
#include "base/json.h"

namespace rowan {
namespace {

// The complete rows in the last 8 KiB of a metrics.jsonl, newest first.
std::vector<Json> last_rows(const std::filesystem::path& metrics) {
  std::ifstream file(metrics, std::ios::binary | std::ios::ate);
  if (!file) return {};
  const auto size = static_cast<int64_t>(file.tellg()), begin = std::max<int64_t>(0, size - 8192);
  std::string text(static_cast<size_t>(size - begin), '\0');
  file.seekg(begin);
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  std::vector<Json> rows;
  for (size_t end = text.rfind('\n'); end != std::string::npos && end > 0;) {
    const size_t before = text.rfind('\n', end - 1);
    const size_t first = before == std::string::npos ? 0 : before + 1;
    Json row = try_parse_json(std::string_view(text).substr(first, end - first));
    if (row.is_object()) rows.push_back(std::move(row));
    end = before;
  }
  return rows;
}

std::string figure(const Json& row, const char* key, const char* format) {
  if (!row.contains(key)) return "";
  return row[key].is_number() ? fmt::format(fmt::runtime(format), row[key].get<double>()) : "not finite";
}

}  // namespace

void SweepView::begins(const std::string& name) {
  running_[name] = Clock::now();
  if (!terminal_) tell("rowan: {} begins\n", name);
}

void SweepView::ends(const std::string& name, const std::string& how) {
  const double seconds = std::chrono::duration<double>(Clock::now() - running_[name]).count();
  running_.erase(name);
  seconds_ += seconds, ++ended_;
  message(fmt::format("{}: {} ({})", name, how, human_duration(seconds)));
}

void SweepView::message(const std::string& text) {
  clear();
  tell("rowan: {}\n", text);
  last_ = {};
}

void SweepView::clear() {
  if (drawn_) tell("\x1b[{}A\x1b[J", drawn_);
  drawn_ = 0;
}

std::string SweepView::line_of(const std::string& name) const {
  const std::vector<Json> rows = last_rows(dir_ / name / "metrics.jsonl");
  std::string loss, step, validation;
  for (const Json& row : rows) {
    if (loss.empty() && row.contains("loss")) {
      loss = "loss " + figure(row, "loss", "{:.4f}");
      step = "step " + figure(row, "step", "{:.0f}") + figure(row, "tokens_per_second", ", {:.0f} tokens/s");
    }
    if (validation.empty() && row.contains("val_loss")) validation = "val_loss " + figure(row, "val_loss", "{:.4f}");
  }
  size_t width = 0;
  for (const auto& [running, since] : running_) width = std::max(width, running.size());
  return fmt::format("  {:<{}}  {}  {}  {}", name, width, loss, step.empty() ? "starts" : step, validation);
}

std::string SweepView::time_left(size_t open, size_t slots) const {
  if (ended_ == 0 || open == 0) return "";
  const double each = seconds_ / static_cast<double>(ended_);
  return fmt::format(", about {} to go", human_duration(each * static_cast<double>(open) / static_cast<double>(slots)));
}

void SweepView::draw(size_t done, size_t known, size_t slots) {
  if (!terminal_ || Clock::now() - last_ < std::chrono::seconds(1)) return;
  clear();
  last_ = Clock::now();
  const size_t columns = std::max<size_t>(terminal_columns(stderr), 20);
  for (const auto& [name, since] : running_) tell("{}\n", line_of(name).substr(0, columns - 1));
  tell("  {} of {} runs are finished{}\n", done, known, time_left(known - done, slots));
  drawn_ = static_cast<int>(running_.size()) + 1;
}

}  // namespace rowan

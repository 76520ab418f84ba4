#include "run/metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/file_identity.h"
#include "base/files.h"
#include "base/json.h"

namespace rowan {
namespace {

bool is_row(const Json& row) {
  if (!row.is_object() || !row.contains("step") || !row["step"].is_number_integer()) return false;
  if (row["step"].is_number_unsigned() && row["step"].get<uint64_t>() > INT64_MAX) return false;
  for (const char* key : {"loss", "val_loss", "tokens", "seconds"})
    if (row.contains(key) && !row[key].is_number() && !row[key].is_null()) return false;
  return row["step"].get<int64_t>() >= 0;
}

// Calls `use` for every valid row, with its line of text.
void each_row(const std::filesystem::path& metrics, const Note& note,
              const std::function<void(const Json& row, std::string_view line)>& use) {
  const std::string text = read_file(metrics);
  int64_t number = 0, broken = 0, first_broken = 0;
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const std::string_view line(text.data() + begin, end + 1 - begin);
    const Json row = try_parse_json(line);
    ++number;
    if (is_row(row))
      use(row, line);
    else if (broken++ == 0)
      first_broken = number;
  }
  if (broken)
    note(fmt::format("{}, line {}: found an invalid row; left out{}", metrics.string(), first_broken,
                     broken > 1 ? fmt::format(", with {} other such rows", broken - 1) : ""));
}

bool is_evaluation(const Json& row) {
  for (const auto& [key, value] : row.items())
    if (key == "loss" || key == "resume" || key == "ended" || key == "evaluation" || key.starts_with("optimizer") ||
        key.starts_with("norm/"))
      return false;
  return true;
}

std::string row_of_other_evaluation(int64_t step) {
  return Json{{"step", step}, {"evaluation", "changed"}}.dump() + "\n";
}

ValidationRow evaluation_of(const Json& row) {
  ValidationRow result{row["step"].get<int64_t>(), {}, {}};
  for (const auto& [key, value] : row.items()) {
    if (key == "val_loss")
      result.val_loss = value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
    else if (key != "step" && value.is_number())
      result.extra.emplace_back(key, value.get<double>());
  }
  return result;
}

}  // namespace

MetricsLog::MetricsLog(const std::filesystem::path& run_dir, std::optional<int64_t> resumed_step, const Note& note,
                       bool evaluates_again)
    : path_(run_dir / "metrics.jsonl"), note_(note) {
  std::string kept;
  bool mark_dropped = false;  // the rows kept after it, if any, are of another evaluation than the rows to come
  if (resumed_step && std::filesystem::exists(path_))
    each_row(path_, note, [&](const Json& row, std::string_view line) {
      const bool mark = begins_other_evaluation(row);
      if (row["step"] > *resumed_step) {
        mark_dropped = mark_dropped || mark;
        return;
      }
      const bool repeated = row.contains("resume") || row.contains("ended") || (evaluates_again && is_evaluation(row));
      if (row["step"] == *resumed_step && repeated) return;
      kept += line;
      if (mark) {
        evaluations_.clear();
        mark_dropped = false;
      }
      if (is_evaluation(row)) evaluations_.push_back(evaluation_of(row));
    });
  if (mark_dropped) {
    kept += row_of_other_evaluation(*resumed_step);
    evaluations_.clear();
  }
  write_file_atomically(path_, kept);
  fd_ = open();
  try_events([&] { events_.emplace(run_dir / "tensorboard", resumed_step ? *resumed_step + 1 : 0); });
}

MetricsLog::~MetricsLog() { ::close(fd_); }

void MetricsLog::train_row(const TrainRow& row) {
  Json json;
  row.visit([&](const char* key, auto value, bool) { json[key] = value; });
  if (!row.skipped.empty()) json["skipped"] = row.skipped;
  append(json.dump());
  row.visit([&](const char* key, auto value, bool plotted) {
    if (plotted) plot(fmt::format("train/{}", key), row.step, static_cast<double>(value));
  });
}

void MetricsLog::validation_row(const ValidationRow& row) {
  Json json = {{"step", row.step}};
  if (row.val_loss) json["val_loss"] = *row.val_loss;
  for (const auto& [key, value] : row.extra) json[key] = value;
  append(json.dump());
  evaluations_.push_back(row);
  if (row.val_loss) plot("validation/loss", row.step, *row.val_loss);
  for (const auto& [key, value] : row.extra) plot("validation/" + key, row.step, value);
}

void MetricsLog::figures_row(int64_t step, const std::vector<std::pair<std::string, double>>& figures) {
  Json row = {{"step", step}};
  for (const auto& [name, value] : figures) {
    row[name] = value;
    plot(name, step, value);
  }
  append(row.dump());
}

void MetricsLog::resume_row(int64_t step, const Json& start) { append(Json{{"step", step}, {"resume", start}}.dump()); }

void MetricsLog::ended_row(int64_t step) { append(Json{{"step", step}, {"ended", "patience"}}.dump()); }

void MetricsLog::plot(const std::string& tag, int64_t step, double value) {
  if (events_) try_events([&] { events_->scalar(tag, step, static_cast<float>(value)); });
}

void MetricsLog::try_events(const std::function<void()>& write) {
  try {
    write();
  } catch (const Error& error) {
    events_.reset();
    note_(fmt::format("warning: {}; no more events for TensorBoard until the next start; metrics.jsonl has every row",
                      error.what()));
  }
}

int MetricsLog::open() const {
  const int fd = ::open(path_.c_str(), O_RDWR | O_APPEND | O_CLOEXEC);
  if (fd < 0) fail("cannot open {}: {}", path_.string(), std::strerror(errno));
  return fd;
}

void MetricsLog::append(const std::string& line) {
  waiting_ += line + "\n";
  try {
    write_waiting();
    late_ = false;
  } catch (const Error& error) {
    if (!std::exchange(late_, true))
      note_(fmt::format("warning: {}; rows wait in memory, and each later row tries again", error.what()));
  }
}

void MetricsLog::write_waiting() {
  while (!waiting_.empty()) {
    const ssize_t done = ::write(fd_, waiting_.data(), waiting_.size());
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) fail("cannot write {}: {}", path_.string(), std::strerror(done < 0 ? errno : ENOSPC));
    waiting_.erase(0, static_cast<size_t>(done));  // readers ignore a last line without a newline
  }
}

void MetricsLog::sync() {
  write_waiting();
  if (!is_open_file(path_, fd_)) {
    write_file_atomically(path_, read_file(fmt::format("/proc/self/fd/{}", fd_)));
    const int before = std::exchange(fd_, open());
    ::close(before);
    note_(fmt::format("warning: {}: was removed or replaced; written again with all rows", path_.string()));
  }
  if (::fdatasync(fd_) != 0) fail("cannot sync {}: {}", path_.string(), std::strerror(errno));
}

std::vector<Json> read_metrics(const std::filesystem::path& metrics, const Note& note) {
  std::vector<Json> rows;
  each_row(metrics, note, [&](const Json& row, std::string_view) { rows.push_back(row); });
  return rows;
}

bool begins_other_evaluation(const Json& row) { return row.contains("evaluation"); }

void mark_other_evaluation(const std::filesystem::path& metrics, int64_t step) {
  if (!std::filesystem::exists(metrics)) return;
  std::string rows = read_file(metrics);
  rows.resize(rows.rfind('\n') + 1);  // a last line without a newline is no row
  write_file_atomically(metrics, rows + row_of_other_evaluation(step));
}

std::optional<int64_t> ended_step(const std::vector<Json>& rows) {
  std::optional<int64_t> ended;
  for (const Json& row : rows) {
    const auto step = row.at("step").get<int64_t>();
    if (row.contains("ended"))
      ended = step;
    else if (ended && step > *ended)
      ended.reset();
  }
  return ended;
}

}  // namespace rowan

#include "run/metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <sstream>

#include "base/error.h"
#include "base/files.h"

namespace rowan {
namespace {

// The complete lines of steps up to `last`.
std::string rows_until(const std::string& text, int64_t last) {
  std::string kept;
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const std::string line = text.substr(begin, end + 1 - begin);
    const Json row = Json::parse(line, nullptr, false);
    if (row.is_object() && row.contains("step") && row["step"].is_number_integer() && row["step"] <= last) kept += line;
  }
  return kept;
}

}  // namespace

MetricsLog::MetricsLog(const std::filesystem::path& run_dir, std::optional<int64_t> resumed_step)
    : path_(run_dir / "metrics.jsonl") {
  std::string kept;
  if (resumed_step && std::filesystem::exists(path_)) kept = rows_until(read_file(path_), *resumed_step);
  write_file_atomically(path_, kept);
  fd_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (fd_ < 0) fail("cannot open {}: {}", path_.string(), std::strerror(errno));
  if (!resumed_step) std::filesystem::remove_all(run_dir / "tensorboard");
  events_.emplace(run_dir / "tensorboard");
}

MetricsLog::~MetricsLog() { ::close(fd_); }

void MetricsLog::train_row(const TrainRow& row) {
  Json json;
  row.visit([&](const char* key, auto value, bool) { json[key] = value; });
  append(json.dump());
  row.visit([&](const char* key, auto value, bool plotted) {
    if (plotted) events_->scalar(fmt::format("train/{}", key), row.step, static_cast<float>(value));
  });
}

void MetricsLog::validation_row(const ValidationRow& row) {
  Json json = {{"step", row.step}};
  if (row.val_loss) json["val_loss"] = *row.val_loss;
  for (const auto& [key, value] : row.extra) json[key] = value;
  append(json.dump());
  if (row.val_loss) events_->scalar("validation/loss", row.step, static_cast<float>(*row.val_loss));
  for (const auto& [key, value] : row.extra) events_->scalar("validation/" + key, row.step, static_cast<float>(value));
}

void MetricsLog::optimizer_row(int64_t step, const std::vector<std::pair<std::string, double>>& figures) {
  Json values = Json::object();
  for (const auto& [name, value] : figures) {
    values[name] = value;
    events_->scalar("optimizer/" + name, step, static_cast<float>(value));
  }
  append(Json{{"step", step}, {"optimizer", values}}.dump());
}

void MetricsLog::append(const std::string& line) {
  // One write of one line: a reader, or a kill, never sees half of it.
  const std::string text = line + "\n";
  ssize_t done = ::write(fd_, text.data(), text.size());
  if (done < 0) fail("cannot write {}: {}", path_.string(), std::strerror(errno));
  if (done != static_cast<ssize_t>(text.size())) fail("cannot write {}: No space left on device", path_.string());
}

std::vector<Json> read_metrics(const std::filesystem::path& metrics) {
  std::vector<Json> rows;
  std::istringstream lines(read_file(metrics));
  for (std::string line; std::getline(lines, line);)
    rows.push_back(parse_json({fmt::format("{}, row {}", metrics.string(), rows.size() + 1), line}));
  return rows;
}

}  // namespace rowan

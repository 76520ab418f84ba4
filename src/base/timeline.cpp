#include "base/timeline.h"

#include <chrono>
#include <cmath>
#include <utility>

#include "base/json.h"

namespace rowan {
namespace {

double clock_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Timeline::Span::Span(Timeline& timeline, const std::string& name) : timeline_(timeline), open_(timeline.recording_) {
  if (open_) timeline_.open(name);
}

Timeline::Span::~Span() {
  if (open_) timeline_.close();
}

Timeline::Phase::Phase(Timeline& timeline, const char* name)
    : timeline_(timeline), name_(timeline.phase_ ? nullptr : name), span_(timeline, name), begin_(clock_seconds()) {
  if (name_) timeline_.phase_ = name_;
}

Timeline::Phase::~Phase() {
  if (!name_) return;
  timeline_.phase_ = nullptr;
  timeline_.seconds_[name_] += clock_seconds() - begin_;
}

void Timeline::record() {
  events_.clear();
  zero_ = clock_seconds();
  recording_ = true;
}

void Timeline::open(const std::string& name, const std::string& operands) {
  opened_.push_back(events_.size());
  events_.push_back({name, operands, clock_seconds() - zero_, 0});
}

void Timeline::close() {
  events_[opened_.back()].end = clock_seconds() - zero_;
  opened_.pop_back();
}

std::string Timeline::json(const std::string& process) const {
  // Process and thread have id 1, because viewers may hide id 0 as the kernel's idle thread.
  auto event_of = [](const char* kind, const std::string& name) {
    return Json{{"ph", kind}, {"name", name}, {"pid", 1}, {"tid", 1}};
  };
  // Round times to nanoseconds before subtracting them, so that spans that end together also end together in the file.
  auto nanoseconds = [](double seconds) { return std::llround(seconds * 1e9); };
  auto microseconds = [](int64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1000; };
  std::string out = "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [";
  auto add = [&, first = true](const Json& event) mutable {
    out += (first ? "\n" : ",\n") + event.dump(-1, ' ', false, Json::error_handler_t::replace);
    first = false;
  };
  for (const auto& [what, name] : {std::pair("process_name", process), std::pair("thread_name", std::string("main"))}) {
    Json event = event_of("M", what);
    event["args"] = {{"name", name}};
    add(event);
  }
  for (const Event& span : events_) {
    const int64_t begin = nanoseconds(span.begin);
    Json event = event_of("X", span.name);
    event["cat"] = span.operands.empty() ? "span" : "operation";
    event["ts"] = microseconds(begin);
    event["dur"] = microseconds(nanoseconds(span.end) - begin);
    if (!span.operands.empty()) event["args"] = {{"on", span.operands}};
    add(event);
  }
  return out + "\n]}\n";
}

}  // namespace rowan

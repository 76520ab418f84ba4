#include "base/timeline.h"

#include <fmt/format.h>

#include <chrono>

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
  auto text = [](const std::string& value) { return Json(value).dump(-1, ' ', false, Json::error_handler_t::replace); };
  std::string out = fmt::format(
      "{{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n"
      "{{\"ph\": \"M\", \"name\": \"process_name\", \"pid\": 0, \"tid\": 0, \"args\": {{\"name\": {}}}}}",
      text(process));
  for (const Event& event : events_)
    out += fmt::format(",\n{{\"ph\": \"X\", \"name\": {}, \"pid\": 0, \"tid\": 0, \"ts\": {:.3f}, \"dur\": {:.3f}{}}}",
                       text(event.name), event.begin * 1e6, (event.end - event.begin) * 1e6,
                       event.operands.empty() ? "" : fmt::format(", \"args\": {{\"on\": {}}}", text(event.operands)));
  return out + "\n]}\n";
}

}  // namespace rowan

// Measures where time goes in the calling thread. Seconds by phase are always counted. On request every span is
// recorded, as JSON for Perfetto and chrome://tracing ("complete" events of the Trace Event Format,
// docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU). C++17, because CUDA sources include this
// header.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace rowan {

class Timeline {
 public:
  // Measures from construction to destruction. A phase inside another phase is not counted. A span appears only in the
  // trace.
  class Span {
   public:
    Span(Timeline& timeline, const std::string& name);
    ~Span();
    Span(const Span&) = delete;
    Span& operator=(const Span&) = delete;

   private:
    Timeline& timeline_;
    bool open_;
  };
  class Phase {
   public:
    Phase(Timeline& timeline, const char* name);
    ~Phase();
    Phase(const Phase&) = delete;
    Phase& operator=(const Phase&) = delete;

   private:
    Timeline& timeline_;
    const char* name_;
    Span span_;
    double begin_;
  };

  // Seconds by phase since the start; only phases that have ended.
  const std::map<std::string, double>& seconds() const { return seconds_; }

  // Spans are kept between record() and stop(). Both are called outside of any span.
  void record();
  void stop() { recording_ = false; }
  bool recording() const { return recording_; }
  // `operands` becomes the event's "args": the tensors an operation works on.
  void open(const std::string& name, const std::string& operands = "");
  void close();
  // The trace: {"traceEvents": [...]}, times in microseconds since record().
  std::string json(const std::string& process) const;

 private:
  struct Event {
    std::string name, operands;
    double begin = 0, end = 0;
  };

  std::map<std::string, double> seconds_;
  const char* phase_ = nullptr;  // the phase being counted
  bool recording_ = false;
  double zero_ = 0;
  std::vector<Event> events_;
  std::vector<size_t> opened_;
};

}  // namespace rowan

// Where time goes, as the calling thread sees it: seconds by phase, always, and on request every span, as the JSON that
// Perfetto and chrome://tracing open ("complete" events of the Trace Event Format,
// docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU). C++17: CUDA sources include this header.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace rowan {

class Timeline {
 public:
  // From its making to its end. A phase counts unless it lies in another; a span is seen in the trace alone.
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

  // Seconds of the phases that have ended, since the start.
  const std::map<std::string, double>& seconds() const { return seconds_; }

  // Between record() and stop() spans are kept. Both are called outside of any span.
  void record();
  void stop() { recording_ = false; }
  bool recording() const { return recording_; }
  // One line of "args" goes with an event: what an operation works on.
  void open(const std::string& name, const std::string& operands = "");
  void close();
  // What was kept: {"traceEvents": [...]}, times in microseconds since record().
  std::string json(const std::string& process) const;

 private:
  struct Event {
    std::string name, operands;
    double begin = 0, end = 0;
  };

  std::map<std::string, double> seconds_;
  const char* phase_ = nullptr;  // the one that counts now
  bool recording_ = false;
  double zero_ = 0;
  std::vector<Event> events_;
  std::vector<size_t> opened_;
};

}  // namespace rowan

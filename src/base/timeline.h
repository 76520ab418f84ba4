// Measures where time goes in the calling thread. The seconds of phases are always counted. Between record() and
// stop(), spans are recorded too. json() formats them for Perfetto and chrome://tracing ("complete" events of the Trace
// Event Format, docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU). C++17, because CUDA sources
// include this header.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace rowan {

class Timeline {
 public:
  // Span and Phase measure from construction to destruction. A Span appears only in the trace. A Phase is also counted
  // in seconds(), unless it lies inside another phase.
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

  // Seconds by phase since construction. A phase is included once it has ended.
  const std::map<std::string, double>& seconds() const { return seconds_; }

  // record() discards earlier spans and starts recording; stop() ends the recording. Call both outside of any span.
  void record();
  void stop() { recording_ = false; }
  bool recording() const { return recording_; }
  // Begin and end a span. `operands` describes the tensors of an operation and appears in the event's "args".
  void open(const std::string& name, const std::string& operands = "");
  void close();
  // The trace as JSON, with times in microseconds since record(). `process` is the name of the process.
  std::string json(const std::string& process) const;

 private:
  struct Event {
    std::string name, operands;
    double begin = 0, end = 0;
  };

  std::map<std::string, double> seconds_;
  const char* phase_ = nullptr;  // the phase being counted; nullptr: none
  bool recording_ = false;
  double zero_ = 0;
  std::vector<Event> events_;
  std::vector<size_t> opened_;
};

}  // namespace rowan

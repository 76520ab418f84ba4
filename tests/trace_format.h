// Checks a trace of one thread, with complete events and metadata, against the Trace Event Format. Also checks that the
// events are nested or disjoint.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"

namespace rowan {

// Returns, for each name of a nested span, the names of the spans that directly contain it.
inline std::map<std::string, std::set<std::string>> expect_trace(const Json& trace) {
  struct Open {
    std::string name;
    int64_t begin, end;
  };
  std::map<std::pair<int64_t, int64_t>, std::vector<Open>> threads;
  std::set<std::string> named;
  std::map<std::string, std::set<std::string>> inside;
  EXPECT_EQ(trace.at("displayTimeUnit"), "ms");
  for (const Json& event : trace.at("traceEvents")) {
    EXPECT_TRUE(event.at("name").is_string() && event.at("pid").is_number_integer() &&
                event.at("tid").is_number_integer())
        << event;
    const std::pair<int64_t, int64_t> thread{event["pid"], event["tid"]};
    if (event.at("ph") == "M") {
      EXPECT_TRUE(event.at("args").at("name").is_string()) << event;
      named.insert(event["name"]);
      continue;
    }
    EXPECT_EQ(event["ph"], "X") << event;
    EXPECT_TRUE(event.at("cat").is_string() && event.at("ts").is_number() && event.at("dur").is_number()) << event;
    EXPECT_GE(event["dur"], 0) << event;
    const auto nanoseconds = [&](const char* key) { return std::llround(event[key].get<double>() * 1000); };
    const int64_t begin = nanoseconds("ts"), end = begin + nanoseconds("dur");
    std::vector<Open>& open = threads[thread];
    while (!open.empty() && (open.back().end < begin || (open.back().end == begin && begin < end))) open.pop_back();
    if (!open.empty()) {
      EXPECT_GE(begin, open.back().begin) << "an event must not begin before the previous event: " << event;
      EXPECT_LE(end, open.back().end) << "an event must not end after its outer event " << open.back().name << ": "
                                      << event;
      inside[event["name"]].insert(open.back().name);
    }
    open.push_back({event["name"], begin, end});
  }
  EXPECT_EQ(named, (std::set<std::string>{"process_name", "thread_name"}));
  EXPECT_EQ(threads.size(), 1u);
  return inside;
}

}  // namespace rowan

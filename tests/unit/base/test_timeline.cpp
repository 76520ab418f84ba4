#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "base/json.h"
#include "base/timeline.h"
#include "trace_format.h"

namespace rowan {
namespace {

using Clock = std::chrono::steady_clock;

TEST(Timeline, CountsOuterPhasesAndKeepsSpansOnRequest) {
  Timeline timeline;
  {
    const Timeline::Phase evaluation(timeline, "evaluation");
    const Timeline::Phase forward(timeline, "forward");  // counts as part of the evaluation
  }
  EXPECT_EQ(timeline.seconds().size(), 1u);
  EXPECT_GT(timeline.seconds().at("evaluation"), 0);
  const auto start = Clock::now();
  timeline.record();
  {
    const Timeline::Span step(timeline, "step \"1\"");
    const Timeline::Phase forward(timeline, "forward");
    timeline.open("linear_forward", "fp32[4, 8]");
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    timeline.close();
  }
  timeline.stop();
  { const Timeline::Span unseen(timeline, "unseen"); }
  const Json trace = Json::parse(timeline.json("rowan"));
  const Json& events = trace.at("traceEvents");
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(events[0]["args"]["name"], "rowan");
  EXPECT_EQ(events[2]["name"], "step \"1\"");
  EXPECT_EQ(events[4]["args"]["on"], "fp32[4, 8]");
  const auto inside = expect_trace(trace);
  EXPECT_EQ(inside.at("linear_forward"), std::set<std::string>{"forward"});
  EXPECT_EQ(inside.at("forward"), std::set<std::string>{"step \"1\""});
  // The duration is in microseconds.
  EXPECT_GE(events[2]["dur"], 3000);
  EXPECT_LE(events[2]["dur"].get<double>(), 1e6 * std::chrono::duration<double>(Clock::now() - start).count());
  EXPECT_EQ(timeline.seconds().count("forward"), 1u);
}

}  // namespace
}  // namespace rowan

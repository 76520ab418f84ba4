#include <gtest/gtest.h>

#include "base/json.h"
#include "base/timeline.h"

namespace rowan {
namespace {

TEST(Timeline, CountsOuterPhasesAndKeepsSpansOnRequest) {
  Timeline timeline;
  {
    const Timeline::Phase evaluation(timeline, "evaluation");
    const Timeline::Phase forward(timeline, "forward");  // is part of the evaluation
  }
  EXPECT_EQ(timeline.seconds().size(), 1u);
  EXPECT_GT(timeline.seconds().at("evaluation"), 0);
  timeline.record();
  {
    const Timeline::Span step(timeline, "step \"1\"");
    const Timeline::Phase forward(timeline, "forward");
    timeline.open("linear_forward", "f32[4, 8]");
    timeline.close();
  }
  timeline.stop();
  { const Timeline::Span unseen(timeline, "unseen"); }
  const Json trace = Json::parse(timeline.json("rowan"));
  const Json& events = trace.at("traceEvents");
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0]["args"]["name"], "rowan");
  EXPECT_EQ(events[1]["name"], "step \"1\"");
  EXPECT_EQ(events[3]["args"]["on"], "f32[4, 8]");
  // Each within the one before it.
  for (size_t i = 2; i < events.size(); ++i) {
    const double begin = events[i]["ts"], end = begin + events[i]["dur"].get<double>();
    const double outer = events[i - 1]["ts"], outer_end = outer + events[i - 1]["dur"].get<double>();
    EXPECT_LE(outer, begin);
    EXPECT_LE(end, outer_end + 2e-3);  // microseconds, rounded to three places
  }
  EXPECT_EQ(timeline.seconds().count("forward"), 1u);
}

}  // namespace
}  // namespace rowan

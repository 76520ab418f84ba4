// Tests the section "schedule" of a config.
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/json.h"
#include "optim/schedule.h"

namespace rowan::test {
namespace {

Schedule schedule(const std::string& text, int64_t steps) {
  auto source = std::make_shared<JsonSource>(JsonSource{"test.json", text});
  Json json = parse_json(*source);
  return parse_schedule(JsonObject(source, json), steps);
}

TEST(Schedules, StepZeroIsZeroAndTheEndIsTheFloor) {
  Schedule s = schedule(R"({"name": "cosine", "warmup_steps": 10, "min_lr_ratio": 0.1})", 110);
  EXPECT_EQ(s.multiplier(0), 0);
  EXPECT_DOUBLE_EQ(s.multiplier(5), 0.5);
  EXPECT_EQ(s.multiplier(10), 1);
  EXPECT_DOUBLE_EQ(s.multiplier(60), 0.55);
  EXPECT_NEAR(s.multiplier(110), 0.1, 1e-15);
  s = schedule(R"({"name": "linear", "min_lr_ratio": 0})", 100);
  EXPECT_EQ(s.multiplier(0), 1);
  EXPECT_DOUBLE_EQ(s.multiplier(75), 0.25);
  s = schedule(R"({"name": "constant", "warmup_steps": 4})", 100);
  EXPECT_EQ(s.multiplier(2), 0.5);
  EXPECT_EQ(s.multiplier(99), 1);
  s = schedule(R"({"name": "wsd", "warmup_steps": 10, "decay_steps": 20})", 100);
  EXPECT_EQ(s.multiplier(80), 1);
  EXPECT_DOUBLE_EQ(s.multiplier(90), 0.5);
  EXPECT_EQ(s.multiplier(100), 0);
  // A linear decay that is counted from the first step on. The warm-up replaces its first 250 steps.
  s = schedule(R"({"name": "linear", "warmup_steps": 250, "falls_from": "start", "min_lr_ratio": 0})", 4875);
  EXPECT_DOUBLE_EQ(s.multiplier(125), 0.5);
  EXPECT_DOUBLE_EQ(s.multiplier(249), 0.996);
  EXPECT_DOUBLE_EQ(s.multiplier(250), 1 - 250.0 / 4875);
  EXPECT_DOUBLE_EQ(s.pace(975).fall, 0.2);
  EXPECT_EQ(to_json(s)["falls_from"], "start");
  EXPECT_THROW(schedule(R"({"name": "wsd", "falls_from": "start"})", 10), Error);
  try {
    schedule(R"({"name": "constant", "min_lr_ratio": 0.1})", 10);
    ADD_FAILURE() << "nothing was refused";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what())
                  .find("has no effect with constant; to replace the whole schedule of a config: "
                        "--set 'schedule={\"name\": \"constant\"}'"),
              std::string::npos)
        << error.what();
  }
  EXPECT_THROW(schedule(R"({"name": "cosin"})", 10), Error);
  EXPECT_THROW(schedule(R"({"name": "wsd", "decay_steps": -1})", 10), Error);
  EXPECT_THROW(schedule(R"({"warmup_steps": -1})", 10), Error);
}

// Tests schedules that are longer than the run, and schedules with `from_step`.
TEST(Schedules, WhatIsLongerThanTheRunIsShortened) {
  Schedule s = schedule(R"({"warmup_steps": 51})", 50);
  EXPECT_EQ(s.warmup_steps, 5);
  EXPECT_EQ(to_json(s)["warmup_steps"], 51) << "a longer run uses the requested warm-up";
  EXPECT_EQ(schedule(R"({"warmup_steps": 50})", 50).warmup_steps, 50);
  s = schedule(R"({"name": "wsd", "warmup_steps": 8, "decay_steps": 20})", 4);
  EXPECT_EQ(s.warmup_steps, 1);
  EXPECT_EQ(s.decay_steps, 3);
  EXPECT_EQ(to_json(s)["decay_steps"], 20);
  s = schedule(R"({"name": "linear", "from_step": 100, "warmup_steps": 10, "min_lr_ratio": 0})", 150);
  EXPECT_EQ(s.multiplier(100), 0);
  EXPECT_EQ(s.multiplier(110), 1);
  EXPECT_DOUBLE_EQ(s.multiplier(130), 0.5);
  EXPECT_DOUBLE_EQ(s.pace(130).fall, 0.5);
  EXPECT_THROW(schedule(R"({"from_step": 50})", 50), Error);
  EXPECT_EQ(schedule(R"({"warmup_steps": 2})", 1).multiplier(0), 0);
  // Warm-up and decay together are longer than the run, so the decay is shortened to the steps after the warm-up.
  s = schedule(R"({"name": "wsd", "warmup_steps": 9, "decay_steps": 2})", 10);
  EXPECT_EQ(s.decay_steps, 1);
  EXPECT_EQ(s.asked_decay_steps, 2);
  EXPECT_EQ(to_json(s)["decay_steps"], 2);
  EXPECT_EQ(s.multiplier(9), 1);
  EXPECT_EQ(s.multiplier(10), 0);
  s = schedule(R"({"name": "wsd", "warmup_steps": 500, "decay_steps": 1000, "min_lr_ratio": 0.2})", 4);
  EXPECT_EQ(s.warmup_steps, 1);
  EXPECT_EQ(s.decay_steps, 3);
  EXPECT_DOUBLE_EQ(s.multiplier(1), 1);
  EXPECT_DOUBLE_EQ(s.multiplier(4), 0.2);
  EXPECT_EQ(schedule(R"({"name": "wsd", "warmup_steps": 4, "decay_steps": 6})", 10).asked_decay_steps, 0);
  EXPECT_EQ(schedule(R"({"name": "wsd", "warmup_steps": 10, "decay_steps": 6})", 10).decay_steps, 0);
  // The config of a shortened run keeps the requested schedule, so a longer run with this config uses it.
  EXPECT_EQ(schedule(to_json(s).dump(), 2000).decay_steps, 1000);
}

}  // namespace
}  // namespace rowan::test

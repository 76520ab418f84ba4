#include <gtest/gtest.h>

#include "base/json.h"
#include "run/starts.h"

namespace rowan {
namespace {

using Texts = std::vector<std::string>;

Json start(int64_t step, const Json& changes = Json::object()) { return {{"step", step}, {"changes", changes}}; }
Json change(const char* pointer, const Json& from, const Json& to) { return {{pointer, {{"from", from}, {"to", to}}}}; }

TEST(Starts, WhatChangedOnTheWayIsNamedWithItsStep) {
  const Json rate = change("/optimizer/lr", 0.01, 0.02), again = change("/optimizer/lr", 0.02, 0.04);
  EXPECT_EQ(changes_on_the_way({}), Texts());
  EXPECT_EQ(changes_on_the_way({{{"step", 0}, {"config", Json::object()}}, start(4)}), Texts());
  EXPECT_EQ(changes_on_the_way({start(0), start(4, rate)}), Texts{"optimizer.lr 0.01, from step 4 on 0.02"});
  EXPECT_EQ(changes_on_the_way({start(0), start(4, rate), start(8, again)}),
            Texts{"optimizer.lr 0.01, from step 4 on 0.02, from step 8 on 0.04"});
  EXPECT_EQ(changes_on_the_way({start(0), start(4, change("/schedule/from_step", nullptr, 4))}),
            Texts{"schedule.from_step none, from step 4 on 4"});
  for (const char* pointer :
       {"/model/attention_dropout", "/z_loss", "/data/documents", "/data/documents/positions", "/residual", "/reduce",
        "/data/batch_means/rows", "/data/validation", "/data/validation/1", "/run/eval_tokens"})
    EXPECT_EQ(changes_on_the_way({start(0), start(4, change(pointer, 1, 2))}).size(), 1) << pointer;
}

TEST(Starts, WhatWasTakenBackDoesNotCount) {
  const Json rate = change("/optimizer/lr", 0.01, 0.02), back = change("/optimizer/lr", 0.02, 0.01);
  // Goes back to the step of the change, or to an earlier step, with the first rate again.
  EXPECT_EQ(changes_on_the_way({start(0), start(4, rate), start(4, back)}), Texts());
  EXPECT_EQ(changes_on_the_way({start(0), start(4, rate), start(2, back)}), Texts());
  // Goes back to a step before the change, with the new rate.
  EXPECT_EQ(changes_on_the_way({start(0), start(4, rate), start(2)}), Texts{"optimizer.lr 0.01, from step 2 on 0.02"});
  // The whole run begins again.
  EXPECT_EQ(changes_on_the_way({start(0), start(0, rate)}), Texts());
}

TEST(Starts, WhatShapesNoResultIsLeftOut) {
  for (const char* pointer : {"/threads", "/run/eval_every", "/run/dir", "/batch/micro_batch", "/device", "/version"})
    EXPECT_EQ(changes_on_the_way({start(0), start(4, change(pointer, 1, 2))}), Texts()) << pointer;
  // Lines that no version of Rowan wrote.
  EXPECT_EQ(changes_on_the_way({{{"step", "x"}}, Json::object(), {{"step", 3}, {"changes", 5}}}), Texts());
}

}  // namespace
}  // namespace rowan

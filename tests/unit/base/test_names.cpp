#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/names.h"

namespace rowan {
namespace {

TEST(Names, TheNearestIsSuggested) {
  const std::vector<std::string> names = {"steps", "seed", "warmup_steps", "lr"};
  EXPECT_EQ(nearest("step", names), "steps");    // an insertion
  EXPECT_EQ(nearest("stepss", names), "steps");  // a deletion
  EXPECT_EQ(nearest("steqs", names), "steps");   // a replacement
  EXPECT_EQ(nearest("esed", names), "seed");     // a swap
  EXPECT_EQ(nearest("rl", names), "lr");         // a swap of all there is
  EXPECT_EQ(nearest("SEED", names), "seed");
  EXPECT_EQ(nearest("optimizer", names), "");
  EXPECT_EQ(did_you_mean("warmup", names), "; did you mean 'warmup_steps'?");
  EXPECT_EQ(nearest("steps", {}), "");
}

// A swap that is not the first edit needs the distances of two rows before.
TEST(Names, EditsAddUp) {
  EXPECT_EQ(nearest("mcro_bathc", {"macro_path", "micro_batch"}), "micro_batch");
  EXPECT_EQ(nearest("abdc", {"abxx", "abcd"}), "abcd");
}

// Comparing two texts of this length letter by letter would take 10^10 steps.
TEST(Names, ALongTextIsNoMisspelledName) {
  const std::string text(100'000, 'a');
  EXPECT_EQ(nearest(text, {text + "b", "a"}), "");
  EXPECT_EQ(nearest("a", {text}), "");
  EXPECT_EQ(did_you_mean(text, {"b"}), "");
  EXPECT_EQ(nearest(std::string(199, 'a') + "b", {std::string(200, 'a')}), std::string(200, 'a'));
}

}  // namespace
}  // namespace rowan

// What every stage answers for itself.
#include <gtest/gtest.h>

#include "base/files.h"
#include "paths.h"
#include "unit/optim/optimizer_bench.h"

namespace rowan::test {
namespace {

TEST(EveryStage, AnswersForItself) {
  const std::string guide = read_file(source_path("src/optim/README.md"));
  for (const Stage* stage : stages) {
    EXPECT_TRUE(stage->on && stage->atom && stage->run) << stage->name;
    if (stage->switches) {
      EXPECT_NE(guide.find(std::string("| ") + stage->name + " |"), std::string::npos) << stage->name;
    }
  }
}

// A stage that sees less than it says would compute something else on many ranks, silently.
TEST(EveryStage, SeesNoMoreThanItsAtom) {
  for (const char* switches :
       {R"("equilibrate": "row")", R"("equilibrate": "sign")", R"("renormalize": "row")",
        R"("adapt": "element_moment")", R"("project": "rows")", R"("direction": "row_normalize")",
        R"("direction": "sign")", R"("shape_scale": "ratio")", R"("direction_precision": "bf16")"}) {
    const std::string config = R"({"name": "recipe", "lr": 0.01, "weight_decay": 0.1, )" + std::string(switches) + "}";
    const Atom atom = optimizer_config(config).main().atom();
    ASSERT_NE(atom, Atom::matrix) << config;
    Trained whole = one_matrix(config, 12, 20), cut = one_matrix(config, 12, 20);
    whole.start();
    if (atom == Atom::row)
      cut.start({{0, 100}, {100, 20}, {120, 120}});
    else
      cut.start({{0, 7}, {7, 130}, {137, 103}});
    whole.steps(3);
    cut.steps(3);
    EXPECT_EQ(whole.values(), cut.values()) << config;
  }
}

}  // namespace
}  // namespace rowan::test

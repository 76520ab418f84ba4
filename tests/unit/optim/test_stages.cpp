// What every stage answers for itself.
#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "optim/recipe.h"
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

std::string stage_refusal(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was refused";
}

TEST(EveryStage, RefusesWhatItCannotDo) {
  auto parse = [](const std::string& text) { return stage_refusal([&] { optimizer_config(text); }); };
  EXPECT_NE(parse(R"({"name": "soap", "precondition_frequency": 0})").find("at least 1"), std::string::npos);
  EXPECT_NE(parse(R"({"name": "sgdm", "decay": "cautious"})").find("signs of a direction"), std::string::npos);
  EXPECT_NE(parse(R"({"name": "muon", "retract": "frobenius"})").find("retract makes steps"), std::string::npos);
  EXPECT_NE(parse(R"({"name": "muon", "blocks": "head"})").find("found \"head\""), std::string::npos);
  EXPECT_NE(parse(R"({"name": "adamw", "decay": "adaptive"})").find("adamw has not"), std::string::npos);
  EXPECT_NE(parse(R"({"name": "muon", "momentum": {"from": 0.8, "steps": 4}})").find("momentum.to: is missing"),
            std::string::npos);
  for (const char* blocks : {"5", "[4, 4]"}) {
    Trained x = one_matrix(R"({"name": "muon", "blocks": )" + std::string(blocks) + "}", 12, 20);
    EXPECT_NE(stage_refusal([&] { x.start(); }).find("has 12 rows"), std::string::npos) << blocks;
  }
  for (const char* name : {"muon-h", "muown"}) {
    Trained x = one_matrix(R"({"name": ")" + std::string(name) + R"("})", 12, 20);
    x.start();
    x.backend().zero(x.weights);
    EXPECT_NE(stage_refusal([&] { x.step(0, normal_floats(240, 1)); }).find("is zero"), std::string::npos) << name;
  }
}

// Blocks that are matrices of their own give what those matrices alone would. Sizes are whole cache lines, so that both
// layouts have their gradients at the same places.
TEST(Blocks, EqualMatricesOfTheirOwn) {
  for (const char* name : {"muon", "normuon", "soap", "muon-h", "muown"}) {
    Trained blocks(R"({"name": ")" + std::string(name) + R"(", "blocks": 3})", 12, 64);
    blocks.start();
    blocks.steps(3);
    Trained parts(R"({"name": ")" + std::string(name) + R"("})");
    for (int i = 0; i < 3; ++i) parts.add("w" + std::to_string(i), Role::matrix, {4, 64});
    parts.start();
    parts.steps(3);
    EXPECT_EQ(blocks.values(), parts.values()) << name;
  }
}

// Owners of some of the blocks update them as the owner of all does.
TEST(Blocks, GiveTheSameBitsInShares) {
  for (const char* name : {"muon", "normuon", "soap", "muon-h", "muown", "mars-m"}) {
    const std::string config = R"({"name": ")" + std::string(name) + R"(", "blocks": 3})";
    Trained whole = one_matrix(config, 12, 64), cut = one_matrix(config, 12, 64);
    whole.start();
    cut.start({{0, 256}, {256, 512}});
    whole.steps(3);
    cut.steps(3);
    EXPECT_EQ(whole.values(), cut.values()) << name;
    std::map<std::string, int64_t> parts;
    for (const StateTensor& state : cut.optimizer->state()) {
      EXPECT_EQ(state.begin, parts[state.name]) << state.name;
      parts[state.name] += state.tensor.numel();
    }
    for (const StateTensor& state : whole.optimizer->state()) {
      EXPECT_EQ(parts[state.name], state.whole) << state.name;
      EXPECT_EQ(state.tensor.numel(), state.whole) << state.name;
    }
  }
  Trained uneven = one_matrix(R"({"name": "muon", "blocks": 3})", 12, 64);
  EXPECT_NE(stage_refusal([&] {
              uneven.start({{0, 300}});
            }).find("whole of a.weight or of its blocks"),
            std::string::npos);
}

TEST(Courses, MomentumAndDecayFollowTheRun) {
  const Recipe r = optimizer_config(R"({"name": "muon", "weight_decay": 0.2, "decay_course": "cosine",
      "momentum": {"from": 0.8, "to": 0.9, "steps": 4, "end": 0.7}})")
                       .main();
  EXPECT_EQ(to_json(r)["momentum"], Json::parse(R"({"from": 0.8, "to": 0.9, "steps": 4, "end": 0.7})"));
  Pace pace;
  EXPECT_DOUBLE_EQ(r.at(0, pace).momentum, 0.8);
  EXPECT_DOUBLE_EQ(r.at(1, pace).momentum, 0.825);
  EXPECT_DOUBLE_EQ(r.at(1, pace).beta, 0.825);
  EXPECT_DOUBLE_EQ(r.at(9, pace).momentum, 0.9);
  pace.fall = 0.5;
  EXPECT_DOUBLE_EQ(r.at(9, pace).momentum, 0.8);
  EXPECT_DOUBLE_EQ(r.at(9, pace).weight_decay, 0.2);
  pace.done = 0.5;
  EXPECT_DOUBLE_EQ(r.at(9, pace).weight_decay, 0.1);
  const Recipe by_rate = optimizer_config(R"({"name": "adamw", "weight_decay": 0.2, "decay_course": "rate"})").main();
  EXPECT_DOUBLE_EQ(by_rate.at(9, Pace(0.25)).weight_decay, 0.05);
  // A plain number again.
  EXPECT_EQ(optimizer_config(R"({"name": "nanochat", "momentum": 0.9})").main().at(0, Pace()).momentum, 0.9);
}

TEST(Courses, RatesFollowTheWidth) {
  const std::string config = R"({"name": "sgdm", "lr": 0.01, "width_scale": -0.5, "width_base": 5})";
  EXPECT_DOUBLE_EQ(optimizer_config(config).main().width_factor(20), 0.5);
  Trained scaled = one_matrix(config, 12, 20), plain = one_matrix(R"({"name": "sgdm", "lr": 0.005})", 12, 20);
  for (Trained* x : {&scaled, &plain}) {
    x->start();
    x->steps(2);
  }
  EXPECT_EQ(scaled.values(), plain.values());
}

TEST(Courses, GroupsHaveSchedulesOfTheirOwn) {
  Trained x(R"({"name": "sgdm", "lr": 1, "groups": [{"names": ["a*"], "schedule": {"name": "constant"}}]})");
  x.add("a", Role::matrix, {2, 2});
  x.add("b", Role::matrix, {2, 2});
  x.start();
  const Floats before = x.values();
  x.step(0, Floats(static_cast<size_t>(x.table().elements()), 1.0f), 0);
  const Floats after = x.values();
  const int64_t a = x.table().find("a").offset, b = x.table().find("b").offset;
  EXPECT_FLOAT_EQ(after[a], before[a] - 1);
  EXPECT_EQ(after[b], before[b]);
}

}  // namespace
}  // namespace rowan::test

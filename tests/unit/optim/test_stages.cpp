// Tests the properties that stages declare, blocks of matrices, and settings that change during a run or with the
// width.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "model/layout.h"
#include "optim/recipe.h"
#include "optim/stages.h"
#include "paths.h"
#include "unit/optim/optimizer_bench.h"

namespace rowan::test {
namespace {

// The switches of all stages, and values to try them with: every choice, true and false, and for a number that is off
// by default, the one nearest to 1 that is allowed.
class Values : public Switches {
 public:
  std::map<std::string, std::vector<Json>> of;

  Values() {
    Recipe recipe;
    for (const Stage* stage : stages)
      if (stage->switches) stage->switches(recipe, *this);
  }
  void number(const char* key, double&, double, double) override { of[key]; }
  void set(const char* key, double&, double min, double max) override { of[key] = {std::clamp(1.0, min, max)}; }
  void set(const char* key, int64_t&, int64_t min, int64_t) override { of[key] = {min}; }
  void integer(const char* key, int64_t&, int64_t, int64_t) override { of[key]; }
  void flag(const char* key, bool&) override { of[key] = {false, true}; }
  void betas(Recipe&) override { of["betas"]; }
  void coefficients(Recipe&) override { of["ns_steps"], of["ns_coefficients"]; }
  void blocks(Blocks&) override { of["blocks"] = {2}; }
  void momentum(Recipe&) override { of["momentum"]; }

 private:
  void choice_of(const char* key, int&, const Names& names) override { of[key] = {names.begin(), names.end()}; }
};

TEST(EveryStage, AnswersForItself) {
  const std::string guide = read_file(source_path("src/optim/README.md"));
  auto expect_row = [&](const std::string& name) {
    EXPECT_NE(guide.find("\n| " + name + " |"), std::string::npos) << "src/optim/README.md has no row for " << name;
  };
  for (const Stage* stage : stages) {
    EXPECT_TRUE(stage->on && stage->atom && stage->run) << stage->name;
    if (stage->switches) expect_row(stage->name);
  }
  for (const auto& [key, values] : Values().of) expect_row("`" + key + "`");
}

// A stage that reads more than its declared atom would silently compute different results on several ranks.
TEST(EveryStage, SeesNoMoreThanItsAtom) {
  std::set<const Stage*> compared;
  for (const char* switches :
       {R"("equilibrate": "row")", R"("equilibrate": "sign")", R"("renormalize": "row")",
        R"("adapt": "element_moment")", R"("project": "rows")", R"("direction": "row_normalize")",
        R"("direction": "sign")", R"("shape_scale": "ratio")", R"("direction_precision": "bf16")",
        R"("momentum_last": true)", R"("slow_beta": 0.999, "slow_alpha": 2)"}) {
    const std::string config = R"({"name": "recipe", "lr": 0.01, "weight_decay": 0.1, )" + std::string(switches) + "}";
    const OptimizerConfig parsed = optimizer_config(config);
    const Atom atom = parsed.main().atom();
    ASSERT_NE(atom, Atom::matrix) << config;
    for (const Stage* stage : stages)
      if (stage->on(parsed.main())) compared.insert(stage);
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
  for (const Stage* stage : stages)
    if (!compared.contains(stage)) {
      EXPECT_EQ(stage->atom(Recipe()), Atom::matrix) << stage->name << " needs a line above";
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
  EXPECT_NE(parse(R"({"name": "muon", "retract": "frobenius"})").find("conflicts with retract, whose steps"),
            std::string::npos);
  EXPECT_NE(parse(R"({"name": "muon", "blocks": "head"})").find("found \"head\""), std::string::npos);
  EXPECT_NE(parse(R"({"name": "adamw", "decay": "adaptive"})").find("adamw lacks"), std::string::npos);
  EXPECT_NE(parse(R"({"name": "muon", "momentum": {"from": 0.8, "steps": 4}})").find("momentum.to: is missing"),
            std::string::npos);
  for (const char* blocks : {"5", "[4, 4]"}) {
    Trained x = one_matrix(R"({"name": "muon", "blocks": )" + std::string(blocks) + "}", 12, 20);
    EXPECT_NE(stage_refusal([&] { x.start(); }).find("found 12 rows"), std::string::npos) << blocks;
  }
  for (const char* name : {"muon-h", "muown"}) {
    Trained x = one_matrix(R"({"name": ")" + std::string(name) + R"("})", 12, 20);
    x.start();
    x.backend().zero(x.weights);
    EXPECT_NE(stage_refusal([&] { x.step(0, normal_floats(240, 1)); }).find("is zero"), std::string::npos) << name;
  }
}

// Each direction, combined with each value of every other switch, either is refused when the config is read or runs. A
// stage that takes more scratch memory than it declares would fail at the first step.
TEST(EveryStage, RunsWithEveryDirectionOrIsRefused) {
  int ran = 0;
  for (const std::string& direction : all_names<Direction>())
    for (const auto& [key, values] : Values().of)
      for (const Json& value : values) {
        if (key == "direction") continue;
        const char* needed = key == "slow_beta" ? R"(, "slow_alpha": 1)" : "";
        const std::string config = fmt::format(R"({{"name": "recipe", "lr": 0.01, "direction": "{}", "{}": {}{}}})",
                                               direction, key, value.dump(), needed);
        try {
          optimizer_config(config);
        } catch (const Error&) {
          continue;
        }
        for (const auto& [rows, cols] : {std::pair{6, 10}, {10, 6}}) {
          Trained x(config);
          for (int i = 0; i < 3; ++i) x.add("w" + std::to_string(i), Role::matrix, {rows, cols});
          x.start();
          EXPECT_NO_THROW(x.steps(2)) << config;
          for (float w : x.values()) ASSERT_TRUE(std::isfinite(w)) << config;
          ++ran;
        }
      }
  EXPECT_GT(ran, 600);
}

// If shape_scale is nuclear, the factor is the inner product of momentum and direction. If the direction is sign, this
// is the sum of the momentum's magnitudes. If the direction is row_normalize, this is the sum of the momentum's row
// norms.
TEST(ShapeScale, NuclearIsTheDualNorm) {
  const Floats g = normal_floats(60, 3);
  double magnitudes = 0, norms = 0;
  for (float value : g) magnitudes += std::fabs(value);
  for (int i = 0; i < 6; ++i) norms += std::sqrt(dot(&g[10 * i], &g[10 * i], 10));
  for (const auto& [direction, factor] : {std::pair{"sign", magnitudes}, {"row_normalize", norms}}) {
    const std::string rest = fmt::format(R"("momentum": 0, "direction": "{}")", direction);
    Trained nuclear = one_matrix(recipe("recipe", rest + R"(, "shape_scale": "nuclear")"), 6, 10),
            plain = one_matrix(recipe("recipe", rest), 6, 10);
    nuclear.start();
    plain.start();
    const Floats before = plain.values();
    nuclear.step(0, g);
    plain.step(0, g);
    const Floats scaled = nuclear.values(), once = plain.values();
    for (size_t j = 0; j < g.size(); ++j)
      EXPECT_NEAR(scaled[j] - before[j], factor * (once[j] - before[j]), 1e-7 * factor) << direction;
  }
}

// A row of zeros has no direction. In each round, Aurora multiplies its factor d by a large number.
TEST(Aurora, LeavesARowOfZerosInPlace) {
  Trained x = one_matrix(recipe("aurora", R"("balance_steps": 12, "shape_scale": "none")"), 12, 6);
  x.start();
  const Floats before = x.values();
  Floats g = normal_floats(72, 2);
  std::fill(g.begin(), g.begin() + 6, 0.0f);
  x.step(0, g);
  Floats step = x.values();
  for (size_t j = 0; j < step.size(); ++j) step[j] -= before[j];
  for (int64_t i = 0; i < 12; ++i)  // the squared norms of 11 rows add up to 6
    EXPECT_NEAR(dot(&step[6 * i], &step[6 * i], 6), i == 0 ? 0 : 1e-4 * 6 / 11, 2e-6) << i;
}

// With decay_last, weight decay applies to the weights after the step. If decay is cautious, a weight decays only if
// the step changed it in the direction of 0.
TEST(Decay, AfterTheStepFollowsItsMask) {
  const std::string soap =
      R"({"name": "soap-muon", "lr": 0.05, "decay": "cautious", "decay_last": true, "weight_decay": )";
  Trained decayed = one_matrix(soap + "4}", 12, 20), plain = one_matrix(soap + "0}", 12, 20);
  decayed.start();
  plain.start();
  const Floats before = plain.values();
  for (Trained* x : {&decayed, &plain}) x->step(0, normal_floats(240, 2));
  const Floats stepped = plain.values(), got = decayed.values();
  int kept = 0;
  for (size_t j = 0; j < got.size(); ++j) {
    const bool decays = (before[j] - stepped[j]) * before[j] >= 0;
    EXPECT_NEAR(got[j], (decays ? 1 - 0.05 * 4 : 1) * stepped[j], 1e-6) << j;
    kept += !decays;
  }
  EXPECT_GT(kept, 60);
  EXPECT_LT(kept, 180);
}

// The signs of what a preconditioner makes suffice for cautious decay. The first gradient of `soap` makes no step.
TEST(Decay, IsCautiousAfterAPreconditioner) {
  for (const char* name : {"soap", "shampoo"}) {
    const std::string config =
        fmt::format(R"({{"name": "{}", "lr": 0.05, "decay": "cautious", "weight_decay": )", name);
    Trained decayed = one_matrix(config + "4}", 12, 20), plain = one_matrix(config + "0}", 12, 20);
    for (Trained* x : {&decayed, &plain}) {
      x->start();
      x->step(0, normal_floats(240, 1), 0);
    }
    const Floats before = plain.values();
    for (Trained* x : {&decayed, &plain}) x->step(1, normal_floats(240, 2));
    const Floats stepped = plain.values(), got = decayed.values();
    const bool last = name == std::string("soap");
    int kept = 0;
    for (size_t j = 0; j < got.size(); ++j) {
      const bool decays = (before[j] - stepped[j]) * before[j] >= 0;
      const float decay = decays ? 0.05f * 4 * (last ? stepped[j] : before[j]) : 0;
      EXPECT_NEAR(got[j], stepped[j] - decay, 1e-6) << name << " " << j;
      kept += !decays;
    }
    EXPECT_GT(kept, 60);
    EXPECT_LT(kept, 180);
  }
}

// A matrix [1, 1] has the bases +-1 and, at its first step, the eigenvalues init_factor. Without a right factor, only
// that of the left side remains.
TEST(KlShampoo, AddsEpsToTheRootOfTheEigenvalues) {
  for (const auto& [rest, cols, root] : {std::tuple{"", 1, 0.1}, {R"(, "max_precond_dim": 4)", 9, std::sqrt(0.1)}})
    for (double eps : {1e-8, 0.05}) {
      Trained x = one_matrix(
          recipe("kl-shampoo", fmt::format(R"("precondition_eps": {}, "momentum": 0.9{})", eps, rest)), 1, cols);
      x.start();
      const Floats before = x.values(), g = normal_floats(cols, 2);
      x.step(0, normal_floats(cols, 1));
      EXPECT_EQ(x.values(), before);
      x.step(1, g);
      const Floats after = x.values();
      for (size_t j = 0; j < g.size(); ++j) EXPECT_NEAR(after[j] - before[j], -0.01 * 0.1 * g[j] / (root + eps), 1e-6);
    }
}

// At the first step, NAMO's factor times the direction is the gradient's direction, times the norm of the update over
// that of the gradient, over the share of the gradient in the update.
TEST(Adapt, CorrectsTheBiasOfItsMomentum) {
  for (const auto& [form, factor] :
       {std::pair{R"("form": "none")", 1.0},
        {R"("form": "ema", "momentum": 0.9, "nesterov": false)", 1.0},
        {R"("form": "ema", "momentum": 0.9, "beta": 0.5, "nesterov": false)", 1.0},
        {R"("form": "ema", "momentum": 0.9, "beta": 0.5, "nesterov": true)", (0.1 + 0.9 * 0.5) / 0.5},
        {R"("form": "heavy_ball", "momentum": 0.9, "nesterov": false)", 1 / 0.1}}) {
    Trained x = one_matrix(
        recipe("recipe", R"("direction": "sign", "adapt": "matrix", "beta2": 0.99, )" + std::string(form)), 6, 10);
    x.start();
    const Floats before = x.values(), g = normal_floats(60, 2);
    x.step(0, g);
    const Floats after = x.values();
    for (size_t j = 0; j < g.size(); ++j)
      EXPECT_NEAR(after[j] - before[j], -0.01 * factor * (g[j] > 0 ? 1 : -1), 1e-6) << form;
  }
}

// A vector has no shape, so its step has the length that it has without shape_scale, times the radius.
TEST(ShapeScale, LeavesVectorsAlone) {
  for (const char* scale : {"keller", "moonlight", "ratio", "mean_dimension", "inputs"}) {
    Trained x(recipe("lion", R"("radius": 2, "shape_scale": ")" + std::string(scale) + "\""));
    x.add("norm", Role::norm, {16});
    x.start();
    const Floats before = x.values();
    x.step(0, Floats(16, 1.0f));
    for (size_t j = 0; j < 16; ++j) EXPECT_NEAR(x.values()[j], before[j] - 0.02, 1e-6) << scale;
  }
}

// Products of Newton-Schulz are in the dtype of the weights. Other directions, and all directions after a
// preconditioner, are in fp32.
TEST(EveryStage, HasADtypeOfItsUpdates) {
  for (const auto& [name, expected] :
       {std::pair{"muon", DType::bf16}, {"rmnp", DType::f32}, {"soap-muon", DType::f32}}) {
    const Recipe r = optimizer_config(R"({"name": ")" + std::string(name) + R"("})").main();
    EXPECT_EQ(update_dtype(r, DType::bf16), expected) << name;
    EXPECT_EQ(update_dtype(r, DType::f32), DType::f32) << name;
  }
  const Recipe wide = optimizer_config(R"({"name": "muon", "ns_precision": "fp32"})").main();
  EXPECT_EQ(update_dtype(wide, DType::bf16), DType::f32);
}

// Blocks give the same result as separate matrices. The sizes are multiples of a cache line, so the gradients have the
// same alignment in both layouts.
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

// Blocks that consist of the columns of a head also give the same weights and the same mean stable rank as separate
// matrices. The weights are fp32, or bf16 with or without masters.
TEST(Blocks, OfColumnsEqualMatricesOfTheirOwn) {
  constexpr int64_t rows = 12, heads = 3, width = 16, size = rows * width;
  auto apart = [](const Floats& x) {
    Floats blocks;
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t r = 0; r < rows; ++r)
        blocks.insert(blocks.end(), &x[(r * heads + h) * width], &x[(r * heads + h) * width] + width);
    return blocks;
  };
  for (const char* name : {"muon", "normuon", "soap", "muon-h", "muown", "mars-m", "dion2"})
    for (Trained::Weights kind : {Trained::Weights::f32, Trained::Weights::masters, Trained::Weights::bf16}) {
      const std::string rest = R"("rounding": "stochastic", "telemetry_every": 1)";
      Trained columns(recipe(name, R"("blocks": "heads", )" + rest), kind), parts(recipe(name, rest), kind);
      columns.add("o", Role::matrix, {rows, heads * width}, width);
      for (int64_t h = 0; h < heads; ++h) parts.add("w" + std::to_string(h), Role::matrix, {rows, width});
      columns.start();
      parts.start();
      const Floats initial = normal_floats(heads * size, 5, 0.1);
      columns.set(initial);
      parts.set(apart(initial));
      for (int64_t t = 0; t < 3; ++t) {
        const Floats gradient = normal_floats(heads * size, 100 + static_cast<uint64_t>(t));
        columns.step(t, gradient);
        parts.step(t, apart(gradient));
      }
      EXPECT_EQ(apart(columns.values()), parts.values()) << name << " " << static_cast<int>(kind);
      auto mean = [](const Trained& x) {
        for (const Metric& metric : x.optimizer->telemetry())
          if (metric.name == "mean/stable_rank") return metric.value;
        return 0.0;
      };
      EXPECT_GT(mean(parts), 0) << name;
      EXPECT_EQ(mean(columns), mean(parts)) << name;
    }
  Trained cut(R"({"name": "muon", "blocks": "heads"})");
  cut.add("o", Role::matrix, {rows, heads * width}, width);
  EXPECT_NE(stage_refusal([&] {
              cut.start({{0, size}});
            }).find("expected the whole matrix or whole blocks"),
            std::string::npos);
}

// The blocks of q, and of GPT-2's q, k and v in one matrix, are the rows of one or two heads. The blocks of the output
// projection are the columns of one or two heads. No other matrix has blocks of columns.
TEST(Blocks, FollowTheHeadsOfAModel) {
  for (const auto& [model, out, in] :
       {std::tuple{R"({"model_type": "llama", "hidden_size": 24, "intermediate_size": 20, "num_hidden_layers": 1,
                       "num_attention_heads": 6, "num_key_value_heads": 2, "vocab_size": 50})",
                   "self_attn.o_proj", "self_attn.q_proj"},
        std::tuple{R"({"model_type": "gpt2", "n_embd": 24, "n_layer": 1, "n_head": 6, "vocab_size": 50})",
                   "attn.c_proj", "attn.c_attn"}}) {
    auto source = std::make_shared<JsonSource>(JsonSource{"model", model});
    const ParameterTable table = parameter_table(parse_model(JsonObject(source, parse_json(*source))));
    const Recipe heads = optimizer_config(R"({"name": "muon", "blocks": "heads"})").main(),
                 pairs = optimizer_config(R"({"name": "muon", "blocks": "pairs"})").main();
    for (const Parameter& p : table.parameters()) {
      if (p.shape.size() != 2) continue;
      const bool is_out = p.name.find(out) != std::string::npos;
      EXPECT_EQ(column_blocks(heads, p), is_out ? 6 : 1) << p.name;
      EXPECT_EQ(column_blocks(pairs, p), is_out ? 3 : 1) << p.name;
      if (p.name.find(in) == std::string::npos) continue;
      EXPECT_EQ(block_rows(heads, p), std::vector<int64_t>(static_cast<size_t>(p.rows() / 4), 4)) << p.name;
      EXPECT_EQ(block_rows(pairs, p), std::vector<int64_t>(static_cast<size_t>(p.rows() / 8), 8)) << p.name;
    }
  }
  Parameter odd{"odd", Role::matrix, {20, 12}};
  odd.head_rows = odd.head_cols = 4;
  const Recipe pairs = optimizer_config(R"({"name": "muon", "blocks": "pairs"})").main();
  EXPECT_NE(
      stage_refusal([&] { block_rows(pairs, odd); }).find("odd: found 5 heads, expected an even number for pairs"),
      std::string::npos);
  EXPECT_NE(
      stage_refusal([&] { column_blocks(pairs, odd); }).find("odd: found 3 heads, expected an even number for pairs"),
      std::string::npos);
}

// A rank that owns only some of the blocks computes the same bits for them as a rank that owns all blocks.
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
            }).find("expected the whole matrix or whole blocks"),
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
  // A plain number replaces the schedule of nanochat's momentum.
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

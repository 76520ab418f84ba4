// Tests the section "optimizer" of a config: refused values, variants, and that a resolved config reads back.
#include <gtest/gtest.h>

#include <sstream>

#include "base/error.h"
#include "base/json.h"
#include "optim/recipe.h"
#include "optim/recipes.h"
#include "unit/optim/optimizer_bench.h"

namespace rowan::test {
namespace {

std::string refusal(const std::string& text) {
  try {
    optimizer_config(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was refused";
}

void expect_refused(const std::string& text, const std::string& part) {
  const std::string message = refusal(text);
  EXPECT_NE(message.find(part), std::string::npos) << text << "\n" << message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
}

// If a config makes the momentum of a recipe an EMA, `beta` is the recipe's momentum, unless the config states it.
TEST(OptimizerConfig, AnotherFormKeepsTheMomentum) {
  auto beta = [](const std::string& text) { return optimizer_config(text).groups.front().recipe->beta; };
  EXPECT_EQ(beta(R"({"name": "sgdm", "form": "ema", "routing": "everything"})"), 0.9);
  EXPECT_EQ(beta(R"({"name": "sgdm", "form": "ema", "momentum": 0.8, "routing": "everything"})"), 0.8);
  EXPECT_EQ(beta(R"({"name": "sgdm", "form": "ema", "beta": 0.7, "routing": "everything"})"), 0.7);
  EXPECT_EQ(beta(R"({"name": "nora", "form": "ema", "beta": 0.7, "routing": "everything"})"), 0.7);
}

TEST(OptimizerConfig, MistakesAreNamed) {
  expect_refused(R"({"lr": 1})", "name: is missing");
  expect_refused(R"({"name": "muoneqr"})", "did you mean 'muoneq-r'");
  expect_refused(R"({"name": "SOAP"})", "did you mean 'soap'");
  expect_refused(R"({"name": "muon", "directon": "polar"})", "did you mean 'direction'");
  expect_refused(R"({"name": "muon", "direction": "newton_shulz"})", "did you mean 'newton_schulz'");
  expect_refused(R"({"name": "muon", "lr": "fast"})", "lr: found a string");
  expect_refused(R"({"name": "muon", "lr": -1})", "at least 0");
  expect_refused(R"({"name": "muon", "lr": NaN})", "not valid JSON");
  expect_refused(R"({"name": "muon", "lr": 1e999})", "1e999");
  expect_refused(R"({"name": "muon", "ns_steps": 0})", "at least 1");
  expect_refused(R"({"name": "namo-d", "clamp": 0})", "expected at least 1e-30");
  expect_refused(R"({"name": "namo-d", "clamp": 1.5})", "at most 1");
  expect_refused(R"({"name": "adamw", "betas": [0.9, 1]})", "found 1, expected at least 0 and at most 0.9999999");
  expect_refused(R"({"name": "adamw", "betas": [0.9, 0.99999999]})", "expected at least 0 and at most 0.9999999");
  expect_refused(R"({"name": "adamw", "betas": [0.9]})", "expected two");
  expect_refused(R"({"name": "mano", "variant": "paper"})", "has no variant 'paper'");
  for (const auto& [group, part] : {std::pair{R"("variant": "Paper")", "groups.0.variant: found 'Paper'"},
                                    {R"("name": "mano", "variant": "paper")",
                                     "groups.0.variant: found 'paper', expected code; mano has no variant"},
                                    {R"("name": "recipe", "variant": "paper")", "recipe has no variant 'paper'"},
                                    {R"("name": "rnmp")", "did you mean 'rmnp'"}})
    expect_refused(R"({"name": "rmnp", "groups": [{"roles": ["matrix"], )" + std::string(group) + "}]}", part);
  expect_refused(R"({"name": "rmnp", "eps": -1e-8})", "eps: found -1e-08, expected at least 1e-30");
  expect_refused(R"({"name": "muon", "ns_eps": 0})", "ns_eps: found 0, expected at least 1e-30");
  expect_refused(R"({"name": "namo", "adapt_eps": -1})", "expected at least 1e-30");
  expect_refused(R"({"name": "adamw", "eps": 0})", "expected at least 1e-30");
  expect_refused(R"({"name": "muoneq-r", "equilibrate_eps": -1})", "at least 0");
  expect_refused(R"({"name": "soap", "bias_correction": true})", "bias_correction: conflicts with correct_bias");
  expect_refused(R"({"name": "muon", "momentum": 1})", "momentum: found 1, expected at most 0.9999999");
  expect_refused(R"({"name": "nora", "beta": 1.5})", "beta: found 1.5, expected at most");
  expect_refused(R"({"name": "namo", "beta2": 1})", "beta2: found 1, expected at most");
  expect_refused(R"({"name": "muoneq-rc", "phase": 0})", "at least 1");
  expect_refused(R"({"name": "muon", "ns_steps": 101})", "at most 100");
  expect_refused(R"({"name": "muon", "ns_coefficients": "keler"})", "did you mean 'keller'");
  expect_refused(R"({"name": "muon", "ns_coefficients": []})", "found an empty list");
  expect_refused(R"({"name": "muon", "ns_coefficients": [1, 2, 3]})", "found 1, expected a list of [a, b, c]");
  expect_refused(R"({"name": "muon", "ns_coefficients": [[1, 2]]})", "found [1,2], expected a list of [a, b, c]");
  expect_refused(R"({"name": "muon", "ns_coefficients": 5})", "expected a list of [a, b, c]");
  expect_refused(R"({"name": "muon", "adamw": {"betas": [0.9, 0.95], "momentum": 1}})", "unknown key 'momentum'");
  expect_refused(R"({"name": "muon", "groups": [{"roles": ["head"], "lr": "high"}]})", "groups.0.lr: found a string");
  expect_refused(R"({"name": "adamw", "ns_steps": 5})", "unknown key 'ns_steps'");
}

TEST(OptimizerConfig, ImpossibleCombinationsSayWhy) {
  expect_refused(R"({"name": "rmnp", "ns_steps": 5})", "only directions newton_schulz and aurora have steps");
  expect_refused(R"({"name": "namo", "clamp": 0.5})", "only adapt column has a clamp");
  expect_refused(R"({"name": "muoneq-r", "phase": 10})", "only equilibrate row_column");
  expect_refused(R"({"name": "muon", "decay": "adaptive"})", "needs the factors of adapt matrix or column");
  expect_refused(R"({"name": "muon", "shape_scale": "axis"})", "needs a direction that normalizes rows or columns");
  expect_refused(R"({"name": "rmnp", "project": "alternate"})", "fixed axis");
  expect_refused(R"({"name": "recipe", "form": "lion"})", "direction sign");
  expect_refused(R"({"name": "muon", "betas": [0.9, 0.95]})", "it belongs to AdamW; set it in \"adamw\"");
  expect_refused(R"({"name": "muon", "eps": 1e-8})", "did you mean ns_eps, equilibrate_eps or adapt_eps?");
  expect_refused(R"({"name": "rmnp", "ns_eps": 1e-8})", "only directions newton_schulz, polar and aurora read it");
  expect_refused(R"({"name": "muon", "adapt_eps": 1e-8})", "no second moment");
  expect_refused(R"({"name": "muon", "scale": 0.2})", "only shape_scale moonlight, axis and rms read it");
  expect_refused(R"({"name": "muon", "equilibrate_clip": 2})", "equilibrate is none, sign or row_mean");
  expect_refused(R"({"name": "muon", "equilibrate_eps": 1e-8})", "equilibrate is none or sign");
  for (const char* ignored : {R"("equilibrate_clip": 2)", R"("equilibrate_exponent": -0.25)"})
    expect_refused(R"({"name": "muon", "equilibrate": "row_mean", )" + std::string(ignored) + "}",
                   "equilibrate is none, sign or row_mean");
  expect_refused(R"({"name": "soap", "retract": "frobenius"})", "decay_last: conflicts with retract");
  expect_refused(R"({"name": "muown", "direction_precision": "bf16"})",
                 "direction_precision: conflicts with magnitudes");
  for (const char* scale : {"rms", "nuclear"})
    for (const char* rate : {"scaled_lr", "lr_scaled_lr"})
      expect_refused(fmt::format(R"({{"name": "muon", "shape_scale": "{}", "decay_rate": "{}"}})", scale, rate),
                     "decay_rate: needs lr with shape_scale rms and nuclear");
  expect_refused(R"({"name": "turbo-muon", "ns_eps_mode": "add"})", "with ns_normalize aol");
  expect_refused(R"({"name": "soap", "basis": "eigh"})", "basis: has no effect here: only precondition_order before");
  expect_refused(R"({"name": "muon", "project": "rows", "eps_mode": "add"})", "eps_mode: has no effect here");
  for (const char* adapt : {"matrix", "column"}) {
    const std::string muon = R"({"name": "muon", "adapt": ")" + std::string(adapt) + R"(", )";
    for (const char* form : {"sum", "nadam"})
      expect_refused(muon + R"("form": ")" + form + R"("})", "form: adapt matrix and column correct the bias");
    expect_refused(muon + R"("bias_correction": true})", "bias_correction: conflicts with adapt matrix and column");
  }
  expect_refused(R"({"name": "normuon", "step_cap": 1})", "neither matrix nor column");
  expect_refused(R"({"name": "soap", "precondition_order": "before", "precondition_frequency": 5})",
                 "precondition_frequency: has no effect here: precondition_order before moves the bases in every step");
  expect_refused(R"({"name": "namo", "shape_scale": "rms"})", "choose the norm themselves");
  for (const char* retract : {"frobenius", "rows"})
    expect_refused(fmt::format(R"({{"name": "muon-h", "retract": "{}", "adapt": "matrix"}})", retract),
                   "adapt: matrix conflicts with retract, whose steps do not depend on the size of the update");
  EXPECT_EQ(refusal(R"({"name": "muon-h", "adapt": "column"})"), "nothing was refused");
  for (const char* direction : {"newton_schulz", "polar", "aurora", "row_normalize", "column_normalize", "sign"}) {
    const std::string start =
        fmt::format(R"({{"name": "recipe", "direction": "{}", "bias_correction": true)", direction);
    expect_refused(start + "}", "bias_correction: has no effect here: direction " + std::string(direction));
    EXPECT_EQ(refusal(start + R"(, "slow_beta": 0.99, "slow_alpha": 1})"), "nothing was refused")
        << "the slow average is not corrected";
  }
  EXPECT_EQ(refusal(R"({"name": "recipe", "bias_correction": true})"), "nothing was refused");
}

TEST(OptimizerConfig, KeysOfAdamWThatUpdateNothingAreRefused) {
  expect_refused(R"({"name": "lion", "adamw": {"lr": 5}})",
                 "adamw.lr: has no effect here: routing everything leaves no parameters to adamw");
  expect_refused(R"({"name": "muon", "routing": "everything", "adamw": {"betas": [0.9, 0.9]}})",
                 "adamw.betas: has no effect here");
  expect_refused(R"({"name": "muon", "routing": "two_dimensional", "adamw": {"lr": 1, "embedding_lr": 2}})",
                 "adamw.embedding_lr: has no effect here: only routing hidden leaves embeddings to adamw");
  // A group of the config may use the AdamW half, but not its rates of embeddings and vectors.
  const std::string group = R"("groups": [{"roles": ["norm"], "name": "adamw"}])";
  EXPECT_EQ(optimizer_config(R"({"name": "lion", "adamw": {"lr": 5}, )" + group + "}").groups[0].recipe->lr, 5);
  for (const char* key : {"embedding_lr", "vector_lr", "vector_weight_decay"})
    expect_refused(R"({"name": "lion", "adamw": {")" + std::string(key) + R"(": 5}, )" + group + "}",
                   "adamw." + std::string(key) + ": has no effect here");
  EXPECT_EQ(optimizer_config(R"({"name": "lion", "adamw": {}})").groups.size(), 1);
  const OptimizerConfig both = optimizer_config(
      R"({"name": "muon", "routing": "two_dimensional", "adamw": {"vector_lr": 2, "vector_weight_decay": 3}})");
  EXPECT_EQ(both.groups.back().recipe->lr, 2);
  EXPECT_EQ(both.groups.back().recipe->weight_decay, 3);
}

// In these settings, the rules that the papers print differ from the authors' code.
TEST(OptimizerConfig, VariantsOfThePapers) {
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"rmnp", R"({"nesterov": false, "shape_scale": "none", "weight_decay": 0.0, "form": "ema"})"},
      {"nora", R"({"nesterov": false, "shape_scale": "none", "weight_decay": 0.0, "beta": 0.95})"},
      {"namo", R"({"nesterov": false, "shape_scale": "none", "weight_decay": 0.01, "decay": "adaptive"})"},
      {"namo-d", R"({"nesterov": false, "shape_scale": "none", "weight_decay": 0.01, "clamp": 0.1})"},
      {"muoneq-r", R"({"form": "ema", "nesterov": false, "equilibrate": "row", "equilibrate_eps": 2.5e-11,
                       "shape_scale": "moonlight"})"},
      {"muoneq-c", R"({"form": "ema", "nesterov": false, "equilibrate": "column", "equilibrate_eps": 2.5e-11})"},
      {"muoneq-rc", R"({"form": "ema", "nesterov": false, "equilibrate": "row_column", "equilibrate_eps": 2.5e-11})"},
      {"normuon", R"({"nesterov": false, "shape_scale": "rms", "scale": 0.2})"}};
  for (const auto& [name, switches] : expected) {
    const Json resolved = to_json(optimizer_config(R"({"name": ")" + name + R"(", "variant": "paper"})"));
    const Json want = Json::parse(switches);
    for (const auto& [key, value] : want.items()) EXPECT_EQ(resolved[key], value) << name << " " << key;
    EXPECT_EQ(resolved.value("step_cap", Json()), Json()) << name;
  }
}

TEST(OptimizerConfig, EveryRecipeResolvesToWhatItParsesTo) {
  std::vector<std::string> texts = {
      R"({"name": "recipe", "equilibrate": "row", "direction": "newton_schulz", "adapt": "column", "clamp": 0.3})",
      R"({"name": "muoneq-rc", "phase": 100, "equilibrate_clip": 4, "ns_coefficients": [[1, 2, 3], [4, 5, 6]]})",
      R"({"name": "rmnp", "routing": "two_dimensional", "adamw": {"lr": 0.5, "vector_weight_decay": 0},
          "groups": [{"names": ["*.q_proj.*"], "roles": ["matrix"], "name": "muon", "lr": 1},
                     {"roles": ["head"], "name": "adamw", "lr": 2}], "rounding": "stochastic", "telemetry_every": 5})",
      R"({"name": "rmnp", "variant": "paper", "groups": [{"names": ["*.q_proj.*"], "variant": "code"},
          {"names": ["*.k_proj.*"]}, {"names": ["*.v_proj.*"], "name": "nora", "variant": "paper"},
          {"roles": ["head"], "name": "adamw"}]})",
      R"({"name": "rmnp", "groups": [{"names": ["*.q_proj.*"], "variant": "paper"}]})",
      R"({"name": "track3-muon", "adamw": {"lr": 0.5, "embedding_lr": 0.5, "vector_lr": 0.5}})",
      R"({"name": "muon", "adamw": {"lr": 0.5, "vector_lr": 0.25}})"};
  for (const RecipeInfo& info : recipes()) {
    texts.push_back(R"({"name": ")" + std::string(info.name) + R"("})");
    for (const char* routing : {"hidden", "two_dimensional", "everything"})
      texts.push_back(fmt::format(R"({{"name": "{}", "routing": "{}"}})", info.name, routing));
    if (info.paper) texts.push_back(R"({"name": ")" + std::string(info.name) + R"(", "variant": "paper"})");
  }
  for (const std::string& text : texts) {
    const OptimizerConfig first = optimizer_config(text);
    const Json resolved = to_json(first);
    const OptimizerConfig again = optimizer_config(resolved.dump());
    EXPECT_EQ(to_json(again), resolved) << text;
    for (size_t i = 0; i < first.groups.size(); ++i)
      EXPECT_EQ(again.groups[i].recipe->variant, first.groups[i].recipe->variant) << text << " " << i;
  }
}

// A switch that a recipe set and a config turned off keeps no value that a stage could still act on.
TEST(OptimizerConfig, SwitchesWithoutEffectHaveTheirDefaults) {
  const auto main = [](const std::string& text) { return optimizer_config(text).main(); };
  for (const char* kl : {"kl_soap", "kl_shampoo"}) {
    const Recipe r = main(R"({"name": "track3-soap-h", "precondition": ")" + std::string(kl) + R"("})");
    EXPECT_EQ(r.precondition_order, PreconditionOrder::after);
    EXPECT_TRUE(r.skips_first());
    EXPECT_EQ(r.precondition_frequency, 1);
  }
  EXPECT_FALSE(main(R"({"name": "soap-muon", "precondition": "kl_soap"})").normalize_update);
  const Recipe soap = main(R"({"name": "soap", "precondition": "none", "direction": "newton_schulz",
                               "retract": "frobenius"})");
  EXPECT_FALSE(soap.decay_last);
  const Recipe namo = main(R"({"name": "namo", "adapt": "none", "decay": "plain", "shape_scale": "none",
                               "retract": "frobenius"})");
  EXPECT_EQ(namo.step_cap, 0);
  EXPECT_EQ(main(R"({"name": "muon", "ns_steps": 7, "direction": "newton_schulz"})").ns_steps, 7);
  EXPECT_EQ(main(R"({"name": "track3-muon", "direction": "polar"})").ns_steps, Recipe().ns_steps);
}

// The names that `rowan optimizers recipe` lists for a switch.
std::vector<std::string> listed_names(const std::string& key) {
  std::istringstream lines(describe_switches());
  std::vector<std::string> names;
  for (std::string line; std::getline(lines, line);)
    if (std::istringstream words(line); words >> line && line == key)
      for (std::string word; words >> word;) names.push_back(word.substr(0, word.find(',')));
  return names;
}

// For every accepted value of a recipe's switch, the resolved config is read back as the same config.
TEST(OptimizerConfig, EverySwitchOfEveryRecipeReadsBack) {
  std::map<std::string, std::vector<Json>> values;  // by key
  const std::vector<Json> numbers = {nullptr,
                                     0,
                                     1,
                                     2,
                                     100,
                                     0.5,
                                     1e-3,
                                     true,
                                     false,
                                     "heads",
                                     "pairs",
                                     Json({2, 2}),
                                     Json({0.5, 0.25}),
                                     Json::parse("[[1, 2, 3], [4, 5, 6]]"),
                                     Json({{"from", 0.5}, {"to", 0.75}, {"steps", 3}, {"end", 0.25}})};
  size_t accepted = 0;
  std::vector<std::string> names = recipe_names();
  names.push_back("recipe");
  for (const std::string& name : names) {
    const Json resolved = to_json(optimizer_config(Json({{"name", name}}).dump()));
    const auto check = [&](const Json& optimizer) {
      Json first;
      try {
        first = to_json(optimizer_config(optimizer.dump()));
      } catch (const Error&) {
        return;
      }
      ++accepted;
      EXPECT_NO_THROW(EXPECT_EQ(to_json(optimizer_config(first.dump())), first)) << optimizer;
    };
    const auto each = [&](const Json& section, const auto& with) {
      for (const auto& [key, unused] : section.items()) {
        auto [known, fresh] = values.try_emplace(key, numbers);
        if (fresh)
          for (const std::string& word : listed_names(key)) known->second.push_back(word);
        for (const Json& value : known->second) check(with(key, value));
      }
    };
    each(resolved, [&](const std::string& key, const Json& value) { return Json({{"name", name}, {key, value}}); });
    if (resolved.contains("adamw"))
      each(resolved["adamw"], [&](const std::string& key, const Json& value) {
        return Json({{"name", name}, {"adamw", {{key, value}}}});
      });
  }
  EXPECT_GT(accepted, 5000u);
}

TEST(OptimizerConfig, TheAdamWHalfMayFollowTheRate) {
  const OptimizerConfig tied = optimizer_config(R"({"name": "muon", "lr": 2, "adamw": {"lr_ratio": 0.1}})");
  ASSERT_NE(tied.adamw_half(), nullptr);
  EXPECT_DOUBLE_EQ(tied.adamw_half()->lr, 0.2);
  Json resolved = to_json(tied);
  EXPECT_EQ(resolved["adamw"]["lr_ratio"], 0.1);
  EXPECT_FALSE(resolved["adamw"].contains("lr")) << "lr follows from lr_ratio";
  resolved["lr"] = 5;
  EXPECT_DOUBLE_EQ(optimizer_config(resolved.dump()).adamw_half()->lr, 0.5);
  expect_refused(R"({"name": "muon", "adamw": {"lr": 1, "lr_ratio": 0.1}})", "lr_ratio: conflicts with lr");
  expect_refused(R"({"name": "muon", "adamw": {"lr_ratio": 0}})", "lr_ratio: found 0, expected more than 0");
  EXPECT_EQ(optimizer_config(R"({"name": "adamw"})").adamw_half(), nullptr);
}

TEST(OptimizerConfig, CorrectionsOfABiasNeedAConstantCoefficient) {
  const std::string course = R"("momentum": {"from": 0.5, "to": 0.99, "steps": 8})";
  for (const char* rest :
       {R"({"name": "namo", )", R"({"name": "soap", )", R"({"name": "muon", "form": "ema", "bias_correction": true, )"})
    expect_refused(rest + course + "}", "momentum: found a schedule, which conflicts with");
  expect_refused(R"({"name": "nadamw", )" + course + "}",
                 "momentum: found a schedule, which conflicts with form nadam");
  EXPECT_EQ(optimizer_config(R"({"name": "namo", "beta": 0.9, )" + course + "}").main().beta, 0.9)
      << "the buffer has a coefficient of its own";
  EXPECT_EQ(optimizer_config(R"({"name": "soap", "correct_bias": false, )" + course + "}").main().momentum, 0.99);
  expect_refused(R"({"name": "soap", "momentum_last": true})", "momentum_last: conflicts with correct_bias");
  expect_refused(R"({"name": "muon", "form": "none", "slow_beta": 0.99, "slow_alpha": 1,
                     "slow_beta_warmup": 5})",
                 "slow_beta_warmup: needs a form with momentum");
  expect_refused(R"({"name": "muon", "slow_beta": 0.99})", "slow_alpha: found 0, expected more than 0");
  expect_refused(R"({"name": "lion", "ns_coefficients": "keller"})", "ns_coefficients: has no effect here");
}

}  // namespace
}  // namespace rowan::test

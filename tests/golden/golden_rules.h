// Translates the update rules of golden files to Rowan's configs.
#pragma once

#include <algorithm>
#include <map>
#include <string>

#include "base/json.h"

namespace rowan {

using Renames = std::map<std::string, std::string>;

// The name of a rule in Rowan, and Rowan's names of keys that the golden files name differently.
struct GoldenRule {
  std::string name;
  Renames keys;
};

// The rules of shared/golden/field. A rule that is not listed has the name of Rowan's recipe, but with `_` instead of
// `-`.
inline GoldenRule field_rule(const std::string& rule) {
  static const std::map<std::string, GoldenRule> rules = {
      {"muonh", {"muon-h", {}}},
      {"muon_hyperball", {"muon-h", {}}},
      {"normuonh", {"normuon-h", {}}},
      {"adamh", {"adam-h", {{"eps", "adapt_eps"}}}},
      {"soap", {"soap", {{"eps", "precondition_eps"}}}},
      {"soap_nvidia", {"soap", {{"eps", "precondition_eps"}, {"kl", "kl_factors"}}}},
      {"soaph", {"soap", {{"eps", "precondition_eps"}}}},
      {"kl_soap", {"kl-soap", {{"eps", "precondition_eps"}}}},
      {"kl_soaph", {"kl-soap", {{"eps", "precondition_eps"}}}},
      {"kl_shampoo", {"kl-shampoo", {{"eps", "precondition_eps"}}}},
      {"shampoo",
       {"shampoo",
        {{"eps", "precondition_eps"},
         {"exponent", "shampoo_exponent"},
         {"start_preconditioning_step", "shampoo_start"}}}},
      {"muown", {"muown", {{"eps", "magnitude_eps"}}}},
      {"dion2", {"dion2", {{"fraction", "select_fraction"}, {"ef_decay", "select_decay"}}}},
      {"polargrad", {"polargrad", {{"polar_first", "momentum_last"}}}},
      {"ademamix",
       {"ademamix",
        {{"eps", "adapt_eps"},
         {"alpha", "slow_alpha"},
         {"alpha_warmup", "slow_alpha_warmup"},
         {"beta3_warmup", "slow_beta_warmup"}}}}};
  auto at = rules.find(rule);
  if (at != rules.end()) return at->second;
  std::string name = rule;
  std::replace(name.begin(), name.end(), '_', '-');
  return {name, {}};
}

// The optimizer config of a case. Unknown rules and keys stay in the config, and parse_optimizer() throws Error for
// them.
inline Json config_of(const std::string& rule, Json hyper) {
  auto take = [&](const std::string& key, Json fallback) {
    Json value = hyper.contains(key) ? hyper[key] : fallback;
    hyper.erase(key);
    return value;
  };
  GoldenRule known = field_rule(rule);
  std::string& name = known.name;
  Renames& renamed = known.keys;
  Json config;
  if (name == "mars") name = "mars-adamw";
  if (name == "adamw" || name == "mars-adamw") {
    renamed["gamma"] = "mars_gamma";
    if (!hyper.contains("betas")) config["betas"] = {take("beta1", 0.9), take("beta2", 0.95)};
  } else if (hyper.contains("betas")) {  // of momentum (muown: of magnitudes), squares, slow average
    const Json betas = take("betas", {});
    if (rule == "muown")
      config["magnitude_beta"] = betas[0];
    else
      config["momentum"] = config["beta"] = betas[0];
    config["beta2"] = betas[1];
    if (betas.size() > 2) config["slow_beta"] = betas[2];
  }
  if (name == "muoneq") {
    const std::string mode = take("mode", "r");
    name = "muoneq-" + mode;
    renamed = {{"eps", "equilibrate_eps"}, {"exponent", "equilibrate_exponent"}, {"clip", "equilibrate_clip"}};
  } else if (name == "namo" || name == "namo-d") {
    renamed = {{"mu2", "beta2"}, {"eps", "adapt_eps"}};
  } else if (name == "normuon" || name == "adamuon") {
    renamed = {{"eps", "adapt_eps"}};
  } else if (name == "lion") {
    renamed = {{"beta1", "momentum"}, {"beta2", "beta"}};
  } else if (name == "mano" && take("version", 1) == 2) {
    name = "mano-v2";
  } else if (name == "muonplus") {
    name = "muon-plus";
  }
  if (rule == "soap_nvidia" || rule == "soaph") {  // SOAP with another precondition_order
    config["precondition_order"] = rule == "soaph" ? "around" : "before";
    config["decay_last"] = false;
    if (rule == "soaph") config["correct_bias"] = false;
  }
  if (rule == "kl_soaph") config["decay_last"] = false;
  if (rule == "kl_soaph" || rule == "kl_soap" || rule == "kl_shampoo") {
    config["whole_first_factor"] = take("first_factor", "ema") == "whole";
    if (hyper["max_inverse_root"] == "dimension") hyper["max_inverse_root"] = nullptr;
    hyper.erase("soap_moments");
  }
  if (rule == "muown") config["magnitudes"] = take("decay", "plain") == "magnitude" ? "magnitude" : "weights";
  config["name"] = name;
  for (const auto& [key, value] : hyper.items()) config[renamed.count(key) ? renamed[key] : key] = value;
  return config;
}

}  // namespace rowan

// The update rules of golden files in Rowan's words.
#pragma once

#include <algorithm>
#include <map>
#include <string>

#include "base/json.h"

namespace rowan {

// A case's hyperparameters in the keys of a config. A rule or key that Rowan does not know is an Error.
inline Json config_of(const std::string& rule, Json hyper) {
  auto take = [&](const std::string& key, Json fallback) {
    Json value = hyper.contains(key) ? hyper[key] : fallback;
    hyper.erase(key);
    return value;
  };
  std::string name = rule;
  std::replace(name.begin(), name.end(), '_', '-');
  std::map<std::string, std::string> renamed = {{"gamma", "mars_gamma"}};
  Json config;
  if (name == "adamw" || name == "mars" || name == "mars-adamw") {
    if (name == "mars") name = "mars-adamw";
    config["betas"] = {take("beta1", 0.9), take("beta2", 0.95)};
  } else if (name == "muoneq") {
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
  config["name"] = name;
  for (const auto& [key, value] : hyper.items()) config[renamed.count(key) ? renamed[key] : key] = value;
  return config;
}

}  // namespace rowan

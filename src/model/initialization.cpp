#include "model/initialization.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "kernels/thread_pool.h"

namespace rowan {
namespace {

InitialRule parse_rule(JsonObject object) {
  using Distribution = InitialRule::Distribution;
  InitialRule rule;
  static_cast<Selection&>(rule) = parse_selection(object, "a rule");
  const std::string name = object.choice("distribution", {"zero", "normal", "uniform"});
  rule.distribution = name == "zero"     ? Distribution::zero
                      : name == "normal" ? Distribution::normal
                                         : Distribution::uniform;
  if (rule.distribution != Distribution::zero) {
    const char* own = name == "normal" ? "std" : "bound";
    rule.fan_in = object.has("gain");
    if (rule.fan_in && object.has(own)) object.fail("gain", fmt::format("conflicts with {}; give one of them", own));
    rule.scale = object.number(rule.fan_in ? "gain" : own, {}, 0);
    if (rule.scale == 0)
      object.fail(rule.fan_in ? "gain" : own,
                  "found 0, expected more than 0; for zeros, use the distribution \"zero\"");
  }
  object.finish();
  return rule;
}

uint64_t hash_of(const std::string& name) {
  uint64_t hash = 0xcbf29ce484222325ull;  // FNV-1a
  for (unsigned char c : name) hash = (hash ^ c) * 0x100000001b3ull;
  return hash;
}

}  // namespace

std::vector<InitialRule> parse_initialization(JsonObject& object, const char* key) {
  std::vector<InitialRule> rules;
  if (object.has(key))
    for (JsonObject& item : object.objects(key)) rules.push_back(parse_rule(std::move(item)));
  return rules;
}

std::optional<size_t> apply_initialization(const std::vector<InitialRule>& rules, Parameter& parameter,
                                           int64_t fan_in) {
  for (size_t i = 0; i < rules.size(); ++i) {
    const InitialRule& rule = rules[i];
    if (!rule.takes(parameter)) continue;
    if (rule.fan_in && fan_in == 0)
      fail("entry {}: gain: needs a fan-in, but '{}' belongs to no linear layer; give std or bound", i, parameter.name);
    const double scale = rule.fan_in ? rule.scale / std::sqrt(static_cast<double>(fan_in)) : rule.scale;
    parameter.init_mean = 0;
    parameter.init_std = rule.distribution == InitialRule::Distribution::normal ? scale : 0;
    parameter.init_bound = rule.distribution == InitialRule::Distribution::uniform ? scale : 0;
    return i;
  }
  return {};
}

void initial_values(const Parameter& parameter, uint64_t seed, int64_t begin, int64_t count, float* values,
                    ThreadPool& threads) {
  const uint64_t stream = hash_of(parameter.name);
  const auto one = [&](int64_t i) {
    double value = parameter.init_mean;
    if (parameter.init_std > 0 || parameter.init_bound > 0) {
      Philox draw = philox(seed, static_cast<uint64_t>(begin + i), stream);
      double u = (draw.word[0] + 1.0) * 0x1p-32, v = draw.word[1] * 0x1p-32;
      if (parameter.init_std > 0)
        value += parameter.init_std * std::sqrt(-2 * std::log(u)) * std::cos(6.283185307179586 * v);
      else
        value += parameter.init_bound * (2 * u - 1);
    }
    values[i] = static_cast<float>(value);
  };
  constexpr int64_t piece = 4096;
  const int64_t pieces = (count + piece - 1) / piece;
  threads.run(pieces, [&](int64_t p, int) {
    for (int64_t i = p * piece; i < std::min(count, (p + 1) * piece); ++i) one(i);
  });
}

}  // namespace rowan

// The "optimizer" section of a config: recipes, and which recipe updates which parameter.
//
// "optimizer": {"name": RECIPE, "variant": "code"|"paper", any switch of the recipe,
//   "routing": "hidden"|"two_dimensional"|"everything",
//   "adamw": {lr or lr_ratio, embedding_lr, vector_lr, vector_weight_decay, any switch of adamw},
//   "groups": [{"roles": [...], "names": ["*.q_proj.*"], "name": RECIPE, "variant": ..., "schedule": {...}, switches}],
//   "rounding": "nearest"|"stochastic", "state": "auto"|"fp32"|"bf16", "telemetry_every": STEPS}
//
// The first entry of "groups" that matches a parameter updates it. "routing" says which of the other parameters the
// main recipe ("name") updates. AdamW updates the remaining ones.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/selection.h"
#include "optim/precision.h"
#include "optim/schedule.h"
#include "optim/share.h"

namespace rowan {

struct Recipe;

struct Group : Selection {
  std::string name;
  std::shared_ptr<const Recipe> recipe;   // never null
  std::optional<Schedule> schedule = {};  // the group's own schedule; none: the main schedule
};

// Which parameters the main recipe updates if no entry of "groups" matches them. AdamW updates the remaining ones.
enum class Routing : uint8_t { hidden, two_dimensional, everything };
constexpr auto names_of(Routing) { return enum_names("hidden", "two_dimensional", "everything"); }

// The name and peak learning rate of the main recipe, and the peak learning rate of AdamW if it updates the other
// parameters.
struct Rates {
  std::string recipe;
  double main = 0;
  std::optional<double> adamw;
};

struct OptimizerConfig {
  Routing routing = Routing::hidden;
  std::vector<Group> groups;  // a parameter belongs to the first group that matches
  size_t given = 0;           // number of groups that the config lists; `groups` begins with them
  double adamw_lr_ratio = 0;  // AdamW's learning rate divided by the main recipe's; 0: the rates are independent
  bool stochastic = false;    // stochastic rounding of bf16 weights without fp32 masters
  Precision state = Precision::automatic;  // dtype; automatic: bf16 for bf16 weights without masters, else fp32
  int64_t telemetry_every = 0;             // steps between telemetry rows; 0: off

  const Recipe& main() const { return *groups[given].recipe; }
  // The AdamW for parameters that the main recipe does not update; nullptr if there is none. With the routing `hidden`,
  // this is the AdamW of the head. Otherwise it is the AdamW of the vectors.
  const Recipe* adamw_half() const;
  // Whether "groups" has this recipe. Such a group begins with the values of "adamw" or of the main recipe.
  bool has_group_of(const std::string& recipe, const std::string& variant = "code") const;
  Rates rates() const;
};

// `steps` is the length of the run, which the schedules of groups need. Throws Error naming the field.
OptimizerConfig parse_optimizer(JsonObject object, int64_t steps = 1);
// Visits the section's keys; the switches of recipes, adamw and groups are read separately.
void visit(OptimizerConfig& config, Section& keys);
// The section with every default filled in. Parsing it gives the same config.
Json to_json(OptimizerConfig config);

}  // namespace rowan

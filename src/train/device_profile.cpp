#include "train/device_profile.h"

#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/names.h"
#include "base/section.h"

namespace rowan {
namespace {

constexpr double tera = 1e12, giga = 1e9;

// Estimates. The rates of copies and of products are 60% to 90% of the peaks in NVIDIA's data sheets (SXM module, no
// sparsity). The peaks of memory bandwidth and of bf16, TF32 and fp32 products are:
//   A100   2.04 TB/s, 312, 156, 19.5 TFLOP/s     H100   3.35 TB/s, 989, 495, 67 TFLOP/s
//   H200   4.8 TB/s, otherwise as H100           B200   8 TB/s, 2250, 1100, 75 TFLOP/s
const DeviceProfile profiles[] = {
    {"a100", 1.8 * tera, 300 * giga, 250 * tera, 110 * tera, 16 * tera, 150 * tera, 125 * tera, 80 * giga, false},
    {"h100", 3.0 * tera, 450 * giga, 600 * tera, 300 * tera, 50 * tera, 265 * tera, 225 * tera, 80 * giga, true},
    {"h200", 4.3 * tera, 450 * giga, 600 * tera, 300 * tera, 50 * tera, 265 * tera, 225 * tera, 141 * giga, true},
    {"b200", 7.0 * tera, 900 * giga, 1400 * tera, 700 * tera, 60 * tera, 300 * tera, 255 * tera, 180 * giga, true},
};

void visit_rates(DeviceProfile& profile, Section& keys) {
  constexpr double least = 1e6, most = 1e18;
  keys.number({.name = "copy", .required = true}, profile.copy, least, most);
  keys.number({.name = "link"}, profile.link, 0, most);
  keys.number({.name = "bf16", .required = true}, profile.bf16, least, most);
  keys.number({.name = "tf32", .required = true}, profile.tf32, least, most);
  keys.number({.name = "fp32", .required = true}, profile.fp32, least, most);
  keys.number({.name = "attention_forward", .required = true}, profile.attention_forward, least, most);
  keys.number({.name = "attention_backward", .required = true}, profile.attention_backward, least, most);
  keys.number({.name = "memory"}, profile.memory, 0, most);
  keys.flag({.name = "fused_epilogues"}, profile.fused_epilogues);
}

}  // namespace

DeviceProfile device_profile(const std::string& name) {
  if (name.ends_with(".json")) {
    auto source = std::make_shared<JsonSource>(JsonSource{name, read_file(name)});
    const Json json = parse_json(*source);
    JsonObject object(source, json);
    DeviceProfile profile{.name = name};
    read_keys(object, [&](Section& keys) { visit_rates(profile, keys); });
    object.finish();
    return profile;
  }
  std::vector<std::string> names;
  for (const DeviceProfile& profile : profiles) {
    if (profile.name == name) return profile;
    names.push_back(profile.name);
  }
  fail("--device: found '{}', expected one of {} or a profile's JSON file{}", name, join(names),
       did_you_mean(name, names));
}

}  // namespace rowan

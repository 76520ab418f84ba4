// The keys of a config's sections: names, ranges, help texts. train/config.cpp reads them.
#pragma once

#include "base/section.h"
#include "train/config.h"

namespace rowan {

// The largest accepted value of the keys that count steps, tokens and other things.
inline constexpr int64_t largest_count = int64_t{1} << 40;

enum class Travel : uint8_t { fp32, bf16 };  // dtype in which ranks exchange gradients
constexpr auto names_of(Travel) { return enum_names("fp32", "bf16"); }

void visit(BatchConfig& batch, Section& keys);
void visit(RunConfig& run, Section& keys);
void visit(SkipConfig& skip, Section& keys);
void visit(AverageConfig& average, Section& keys);
void visit(TrainConfig& config, Section& keys);  // the keys of the top level

// All keys with their values, for config.json.
Json resolve(TrainConfig config);

}  // namespace rowan

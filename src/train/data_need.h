// Whether a run has enough data: said before it begins, not after it has read the same documents twice.
#pragma once

#include <string>

#include "data/batch_source.h"
#include "train/config.h"

namespace rowan {

// "reads 5.12M rows, there are 2.85M: 1.80 epochs; data/c4/get.sh --shards 15 has enough" where a run goes through its
// data more than once; else "".
std::string data_shortage(const TrainConfig& config, const BatchSource& batches);

// The same with how often a row is read, for runs that have enough too; or that the data is not there.
std::string data_need(const TrainConfig& config);

}  // namespace rowan

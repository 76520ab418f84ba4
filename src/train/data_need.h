// Whether a run has enough data for one epoch; said before it begins.
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

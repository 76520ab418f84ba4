// Before a run starts: whether its data is enough for one epoch, and how much of the run evaluations take.
#pragma once

#include <string>

#include "data/batch_source.h"
#include "train/config.h"

namespace rowan {

// A text such as "reads 5.12M rows, there are 2.85M: 1.80 epochs; data/c4/get.sh --shards 15 has enough" if a run reads
// its data more than once; else "".
std::string data_shortage(const TrainConfig& config, const BatchSource& batches);

// The same for runs with enough data as well: how often each row is read, or that the data is missing.
std::string data_need(const TrainConfig& config);

// The number of validation tokens in one evaluation: those there are, at most run.eval_tokens (0: no limit). If the
// data is missing, run.eval_tokens.
int64_t evaluation_targets(const TrainConfig& config);

// A text such as "every 200 steps on 41.0K tokens, about 3% of the run". `targets` is their number in one evaluation,
// or 0 if it is not known.
std::string evaluation_need(const RunConfig& run, double tokens_per_step, double targets);

}  // namespace rowan

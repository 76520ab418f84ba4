// Estimates made before a run starts: how many epochs of its data it reads, and what part of its time evaluations take.
#pragma once

#include <string>

#include "data/batch_source.h"
#include "train/config.h"

namespace rowan {

// A text such as "reads 5.12M rows, there are 2.85M: 1.80 epochs; data/c4/get.sh --shards 15 has enough" if a run reads
// its data more than once; else "".
std::string data_shortage(const TrainConfig& config, const BatchSource& batches);

// The same text for every run, including those that read each row at most once. If the data cannot be opened, the text
// says why.
std::string data_need(const TrainConfig& config);

// The number of validation tokens in one evaluation: all tokens, but at most run.eval_tokens (0: no limit). Returns
// run.eval_tokens if the data cannot be opened.
int64_t evaluation_targets(const TrainConfig& config);

// A text such as "every 200 steps on 41.0K tokens, about 3% of the run". `targets` is the number of tokens in one
// evaluation, or 0 if unknown.
std::string evaluation_need(const RunConfig& run, double tokens_per_step, double targets);

}  // namespace rowan

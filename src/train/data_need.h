// Estimates before a run starts: the number of epochs that it reads, and the share of its time that evaluations take.
#pragma once

#include <string>

#include "data/batch_source.h"
#include "train/config.h"

namespace rowan {

// A text such as "1.80 epochs", or "0.03, 4.30 epochs of the corpora" for a mixture.
std::string epochs_text(const TrainConfig& config, const BatchSource& batches);

// If the run reads more than one epoch of a corpus, returns a text such as
//   reads 5.12M rows, there are 2.85M: 1.80 epochs; data/c4/get.sh --shards 15 downloads enough
// The text ends after the epochs if no command is known. Returns "" if the run reads at most one epoch of each corpus.
std::string data_shortage(const TrainConfig& config, const BatchSource& batches);

// Like data_shortage(), but also returns a text, without a command, for a run that reads at most one epoch. If the data
// cannot be opened, the text ends with the reason.
std::string data_need(const TrainConfig& config);

// The validation data of one evaluation (evaluate/validation.h): nothing without validation data, and run.eval_tokens
// targets without padding if the data cannot be opened.
struct EvaluationSize {
  int64_t targets = 0;
  int64_t padding = 0;  // tokens that are computed but are no targets
};
EvaluationSize evaluation_size(const TrainConfig& config);

// The number of tokens that one evaluation on data.hellaswag computes, padding included; 0 if the config names no file
// or it cannot be read.
int64_t hellaswag_tokens(const TrainConfig& config);

// A text such as "every 200 steps on 41.0K tokens, about 3% of the run". No targets in `size` means that their number
// is unknown; `hellaswag` is hellaswag_tokens(). Padding costs time like text, as it does in `tokens_per_step`.
std::string evaluation_need(const RunConfig& run, const AverageConfig& average, double tokens_per_step,
                            EvaluationSize size, int64_t hellaswag = 0);

}  // namespace rowan

// TrainConfig: the validated config of a run.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/section.h"
#include "data/data_config.h"
#include "model/model.h"
#include "optim/average.h"
#include "optim/config.h"
#include "optim/schedule.h"
#include "sharding/sharding.h"
#include "train/device.h"

namespace rowan {

enum class TrainPrecision : uint8_t {
  // The dtype given for the optimizer state is the default of optimizer.state.
  fp32,             // weights, activations, gradients and optimizer state in fp32
  bf16,             // weights and activations in bf16; master weights, gradients and optimizer state in fp32
  bf16_stochastic,  // as bf16, but without master weights: updates of the bf16 weights are rounded stochastically
  bf16_pure,        // weights, gradients and optimizer state in bf16, rounded to nearest
  automatic,        // bf16 or fp32, as chosen by resolve_precision(); counts as fp32 until that call
  tf32,             // fp32, with the operands of matrix products rounded to TF32; GPU only
};
constexpr auto names_of(TrainPrecision) {
  return enum_names("fp32", "bf16", "bf16_stochastic", "bf16_pure", "auto", "tf32");
}
inline DType compute_dtype(TrainPrecision p) {
  return p == TrainPrecision::fp32 || p == TrainPrecision::automatic || p == TrainPrecision::tf32 ? DType::f32
                                                                                                  : DType::bf16;
}
inline DType gradient_dtype(TrainPrecision p) { return p == TrainPrecision::bf16_pure ? DType::bf16 : DType::f32; }

enum class ResidualStream : uint8_t { compute, fp32 };  // dtype of the residual stream: the compute dtype or fp32
constexpr auto names_of(ResidualStream) { return enum_names("compute", "fp32"); }

// How a GPU's algorithm for a matrix product is chosen: by cuBLASLt's heuristic, or as the fastest of several that are
// timed (Backend::time_products).
enum class Products : uint8_t { heuristic, timed };
constexpr auto names_of(Products) { return enum_names("heuristic", "timed"); }

struct BatchConfig {
  int64_t sequences = 0;        // sequences in a step, over all ranks
  int64_t sequence_length = 0;  // tokens in a sequence
  int64_t micro_batch = 0;      // sequences that a rank processes at once; 0: all of the rank's sequences in a step
};

// The largest accepted number of tokens in a micro-batch, or in a step if micro_batch is 0.
constexpr int64_t most_tokens_at_once = int64_t{1} << 31;
// The largest accepted number of tokens in a run. Numbers of tokens then fit in 64 bits.
constexpr int64_t most_tokens = int64_t{1} << 62;
// The largest number of steps with which the tokens of a run do not exceed most_tokens.
int64_t most_steps(const BatchConfig& batch);

struct RunConfig {
  std::string dir;
  int64_t steps = 0;  // optimizer updates; 0: the run only evaluates and saves the initial weights
  uint64_t seed = 42;
  int64_t log_every = 10;
  int64_t eval_every = 0;           // steps between evaluations; 0: only at the end
  int64_t eval_tokens = 0;          // validation tokens in one evaluation (evaluate/validation.h); 0: all
  int64_t checkpoint_every = 0;     // steps between checkpoints; 0: off
  int64_t checkpoint_seconds = 0;   // seconds between checkpoints; 0: off
  int64_t keep = 3;                 // number of newest checkpoints to keep; 0: all
  int64_t keep_every = 0;           // also keep the first checkpoint at or after each multiple of this; 0: none
  bool keep_best = false;           // keep also the checkpoint of the step with the lowest validation loss
  int64_t patience = 0;             // end the run after this many evaluations without improvement; 0: never
  int64_t max_seconds = 0;          // seconds after which a process saves and exits; 0: never
  int64_t check_weights_every = 0;  // steps between comparisons of the ranks' weights; 0: only at the start
  int64_t norms_every = 0;          // steps between rows of metrics.jsonl with the norms of each layer; 0: never
  std::string sample_prompt;        // prompt of the sample at the end of the run
  int64_t sample_tokens = 0;        // tokens of this sample; 0: no sample
};

// When an update is skipped because the step's loss or gradient norm is a spike (train/spike_detector.h). An update
// whose gradient norm is not finite is skipped in any case.
struct SkipConfig {
  double loss_zscore = 0;       // a loss more than this many standard deviations above the mean is a spike; 0: never
  double grad_norm_zscore = 0;  // like loss_zscore, for the gradient norm before clipping
  int64_t window = 128;         // number of earlier values to compare with
};

struct TrainConfig {
  std::string file;  // path of the config file, as given
  ModelConfig model;
  std::string init;       // initial weights (train/initial_weights.h); "": random weights from run.seed
  std::string tokenizer;  // such as "gpt2:FILE"; "" if the config names no tokenizer
  DataConfig data;
  BatchConfig batch;
  OptimizerConfig optimizer;
  Schedule schedule;
  AverageConfig average;
  double grad_clip = 0;  // largest global gradient norm; 0: no clipping
  SkipConfig skip;
  TrainPrecision precision = TrainPrecision::automatic;
  // Dtype in which ranks exchange gradients; by default the dtype of the stored gradients.
  DType reduce = DType::f32;
  ResidualStream residual = ResidualStream::compute;
  double z_loss = 0;  // weight of log(sum of exp(logits))^2 in the gradient; reported losses omit this term
  Recompute recompute = Recompute::none;
  ShardMode shard = ShardMode::none;
  Device device = Device::automatic;
  int threads = 0;  // threads of the CPU backend; 0: all cores
  AttentionKernels attention = AttentionKernels::rowan;
  Products products = Products::heuristic;
  RunConfig run;
  Json comment;   // the config's "comment": anything; ignored
  Json resolved;  // all keys of the config with their values, defaults included
};

// The path of the config key `name`: "optimizer.lr" for "lr". "a or b" if several sections have the key, "" if no
// section has it.
std::string path_of_key(const std::string& name);

// Reads the text of a config file. Throws Error for a folder or a file that cannot be read.
JsonSource read_config(const std::string& path);
// Reads a config file and applies the edits, such as --set assignments. A relative path of a model is resolved from the
// config file's folder. Throws Error. For a bad value, the message names file, line and field, or the edit's origin and
// the field.
TrainConfig load_config(const std::string& path, const std::vector<Edit>& edits);
// Like load_config(), but for a config whose text is already read. source.name is the path of the config.
TrainConfig parse_config(JsonSource source, const std::vector<Edit>& edits);

// Replaces precision "auto" by "bf16" if `fast_bf16`, else by "fp32". `fast_bf16`: the device has fast bf16 products
// (Backend::fast).
void resolve_precision(TrainConfig& config, bool fast_bf16);

// The part of a resolved config that must stay the same when a run continues without --resume or --from. The keys with
// KeyRow::continues are left out.
Json identity_of(Json resolved);

// The keys of each section, by section name; "" holds the top-level keys. configs/README.md is checked against them.
// The switches of recipes, which `rowan optimizers` lists, are not included.
std::map<std::string, std::vector<KeyRow>> config_keys();

}  // namespace rowan

// What the subcommands of `rowan bench` share: their options, a training run on made-up data, and results as JSON.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "commands/command_line.h"
#include "train/trainer.h"

namespace rowan {

// --json FILE of every subcommand.
void add_json_option(CommandLine& command, std::string& file);
// Writes `result` to `file`, unless that is empty.
void write_json(const std::string& file, const Json& result);

double median(std::vector<double> values);

// The model of a Hugging Face config.json or of a run's config.
ModelConfig model_of(const std::string& file);

struct DeviceOptions {
  std::string device = "auto", attention = "rowan", json;
  int threads = 0;
};
void add_options(CommandLine& command, DeviceOptions& options);
std::unique_ptr<Backend> make_backend(const DeviceOptions& options);

// A training step to be measured.
struct StepOptions : DeviceOptions {
  std::string model = "configs/models/gpt2_124m.json", precision = "fp32", recompute = "none";
  int64_t batch = 4, seq = 256;  // of the step, which is one micro-batch
};
void add_options(CommandLine& command, StepOptions& options);
// What a result begins with: the bench, and the step it measured.
Json result_of(const char* bench, const StepOptions& options);
inline DType compute_dtype(const StepOptions& options) {
  return options.precision == "fp32" ? DType::f32 : DType::bf16;
}

// {"name": RECIPE} as a config would have it. Throws Error naming the nearest recipe.
OptimizerConfig recipe_config(const std::string& recipe);

// A shard of random tokens in [0, vocabulary), in a file without a name: however the process ends, nothing is left.
class MadeUpShard {
 public:
  MadeUpShard(int64_t tokens, int64_t vocabulary);
  ~MadeUpShard();
  MadeUpShard(const MadeUpShard&) = delete;
  MadeUpShard& operator=(const MadeUpShard&) = delete;

  // Opens in this process, while this lives.
  std::filesystem::path path() const;

 private:
  int fd_;
};

// The run of `rowan train` on made-up data: on one process, or on the given ranks.
class BenchRun {
 public:
  BenchRun(Backend& backend, const StepOptions& options, const std::string& recipe);
  BenchRun(Backend& backend, const StepOptions& options, const std::string& recipe, Communicator& ranks,
           ShardMode shard);

  TrainConfig config;
  Trainer& trainer() { return *trainer_; }

 private:
  void start(Backend& backend, const StepOptions& options, const std::string& recipe, Communicator& communicator,
             ShardMode shard);

  std::unique_ptr<Communicator> alone_;
  std::unique_ptr<Trainer> trainer_;
};

}  // namespace rowan

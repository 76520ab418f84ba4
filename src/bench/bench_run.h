// Shared by the subcommands of `rowan bench`.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "comm/communicator.h"
#include "commands/command_line.h"
#include "train/trainer.h"

namespace rowan {

// Adds --json. Refuses a file that is neither new nor the results of an earlier benchmark.
void add_json_option(CommandLine& command, std::string& file);
// Writes `result`, whose first key is `bench`, to `file`, unless `file` is empty.
void write_json(const std::string& file, const Json& result);

// The median; for an even number of values, the larger of the two middle ones.
double median(std::vector<double> values);

// Adds --steps, the number of measurements. Recipes that do more work in every Nth step are measured over whole periods
// (Optimizer::period()).
void add_steps_option(CommandLine& command, int& steps);
// Names what a time per step is: "median of 5", or the same of means if a period has several steps.
std::string median_text(int steps, int64_t period);

// Reads the model from a Hugging Face config.json or from a run's config.
ModelConfig model_of(const std::string& file);

struct DeviceOptions {
  std::string device = "auto", attention = "rowan", json;
  std::string products;  // file for the fastest GPU algorithms of matrix products; "": do not time them
  int threads = 0;
};
void add_options(CommandLine& command, DeviceOptions& options);
std::unique_ptr<Backend> make_backend(const DeviceOptions& options);

// Options of a measured training step.
struct StepOptions : DeviceOptions {
  std::string model = "configs/models/gpt2_124m.json", precision = "fp32", recompute = "none";
  int64_t batch = 4, seq = 256;  // sequences per step, and tokens per sequence; a rank has one micro-batch
};
void add_options(CommandLine& command, StepOptions& options);
// The first fields of a result: the name of the benchmark, model, precision, batch, seq and recompute.
Json result_of(const char* bench, const StepOptions& options);
inline DType compute_dtype(const StepOptions& options) {
  return options.precision == "fp32" ? DType::f32 : DType::bf16;
}

// The optimizer config of {"name": RECIPE}. Throws Error for an unknown recipe.
OptimizerConfig recipe_config(const std::string& recipe);

// zipf: token i has a probability of about 1 / ((i + 1) log(vocabulary + 1)), similar to tokens of text.
enum class Frequencies { uniform, zipf };

// A shard of random 16-bit tokens in an anonymous memory file. All tokens are below `vocabulary` and below 65536.
class MadeUpShard {
 public:
  MadeUpShard(int64_t tokens, int64_t vocabulary, Frequencies frequencies);
  ~MadeUpShard();
  MadeUpShard(const MadeUpShard&) = delete;
  MadeUpShard& operator=(const MadeUpShard&) = delete;

  // A path that this process can open while the object exists.
  std::filesystem::path path() const;

 private:
  int fd_;
};

// A training run on synthetic data, in one process or on the given ranks.
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

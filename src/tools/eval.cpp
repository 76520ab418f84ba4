#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <memory>

#include "base/error.h"
#include "data/data_config.h"
#include "data/entropy_floor.h"
#include "tools/commands.h"
#include "train/device.h"
#include "train/evaluate.h"
#include "train/run_folder.h"

namespace rowan {
namespace {

struct Options {
  std::string run, device = "auto";
  std::vector<std::string> data;
  int64_t tokens = std::numeric_limits<int64_t>::max(), micro_batch = 0;
};

void run(const Options& options) {
  RunFolder folder(options.run, [](const std::string& text) { fmt::print(stderr, "rowan: {}\n", text); });
  JsonObject config = folder.config();
  DataConfig data = parse_data(config.object("data", true));
  if (!options.data.empty()) data.validation = options.data;
  if (data.validation.empty()) fail("{}: the run has no validation data; name some with --data", options.run);
  JsonObject batch = config.object("batch", true);
  const int64_t seq = batch.integer("sequence_length", {}, 1);
  Dataset rows(data.validation, data.shards, data.reading, seq, folder.model().vocabulary);

  std::unique_ptr<Backend> backend = make_backend(options.device, 0, 0);
  const int64_t micro_batch = options.micro_batch ? options.micro_batch : std::max<int64_t>(1, 4096 / seq);
  Model model(*backend, folder.model(), {.batch = micro_batch, .seq = seq, .training = false});
  load_weights(model, folder.checkpoint().model());
  LossSum loss = evaluate(*backend, model, rows, options.tokens);
  fmt::print("checkpoint   {}\nloss         {:.6f} nats a token\nperplexity   {:.4f}\ntargets      {}\n",
             folder.checkpoint().folder().filename().string(), loss.mean(), std::exp(loss.mean()), loss.targets);
  if (rows.shards().size() == 1)
    if (auto floor = entropy_floor(rows.shards()[0].path()))
      fmt::print("entropy      {:.6f} nats a token, which no model can beat\n", floor->sample);
}

}  // namespace

CLI::App* add_eval(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("eval", "the validation loss of a run's newest checkpoint");
  command->add_option("RUN", options->run, "run directory")->required();
  command->add_option("--data", options->data, "shards (a glob) instead of the run's validation data");
  command->add_option("--tokens", options->tokens, "at most this many; all when not given")->check(CLI::PositiveNumber);
  command->add_option("--micro-batch", options->micro_batch, "rows at a time; 4096 tokens when not given")
      ->check(CLI::PositiveNumber);
  command->add_option("--device", options->device, "auto, cpu or cuda")->capture_default_str();
  command->callback([options] { run(*options); });
  return command;
}

}  // namespace rowan

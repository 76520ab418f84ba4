#include <fmt/format.h>

#include "dist/agreement.h"
#include "tools/commands.h"
#include "train/loop.h"

namespace rowan {
namespace {

struct Options {
  std::string config;
  std::vector<std::string> overrides;
  bool resume = false;
};

void run(const Options& options) {
  auto communicator = make_communicator(detect_launch());
  try {
    TrainConfig config;
    together(*communicator, [&] { config = load_config(options.config, options.overrides); });
    train(config, *communicator, options.resume);
  } catch (const AgreedError& error) {
    if (communicator->rank() == 0) throw;
    throw Exit{2};
  } catch (const Error& error) {
    if (communicator->size() == 1) throw;
    fmt::print(stderr, "rowan: rank {}: {}\n", communicator->rank(), error.what());
    communicator->abort(2);
  }
}

}  // namespace

CLI::App* add_train(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("train", "train a model from one JSON file; continues what was interrupted");
  command->add_option("CONFIG", options->config, "JSON file")->required();
  command->add_option("--set", options->overrides, "path=value, as in optimizer.lr=3e-3; may be repeated")
      ->type_name("PATH=VALUE")
      ->allow_extra_args(false);
  command->add_flag("--resume", options->resume, "insist on a checkpoint to go on from");
  command->callback([options] { run(*options); });
  return command;
}

}  // namespace rowan

#include <fmt/core.h>

#include <cstdlib>
#include <thread>

#include "comm/agreement.h"
#include "commands/commands.h"
#include "train/device.h"
#include "train/loop.h"

namespace rowan {
namespace {

struct Options {
  std::string config;
  std::vector<std::string> overrides;
  bool resume = false;
};

void run(const Options& options) {
  const Launch launch = detect_launch();
  std::unique_ptr<Communicator> host;
  bool failed = false;
  try {
    host = make_communicator(launch);
    const int shared = threads_of_rank(*host);
    // Alone, or where OMP_NUM_THREADS says, the backend knows best.
    const int threads = launch.size == 1 || std::getenv("OMP_NUM_THREADS") ? 0 : shared;
    TrainConfig config;
    std::unique_ptr<Backend> backend;
    together(*host, [&] {
      config = load_config(options.config, options.overrides);
      backend =
          make_backend(config.device, config.threads ? config.threads : threads, launch.local_rank, config.attention);
    });
    std::unique_ptr<Communicator> device = make_device_communicator(*host, *backend);
    train(config, *backend, device ? *device : *host, options.resume);
  } catch (const AgreedError& error) {
    if (launch.rank == 0) fmt::print(stderr, "rowan: {}\n", error.what());
    failed = true;
  } catch (const Error& error) {
    if (launch.size == 1) throw;
    fmt::print(stderr, "rowan: rank {}: {}\n", launch.rank, error.what());
    host->abort(2);
  }
  if (!failed) return;
  // A launcher ends all ranks when the first leaves: that must not be before rank 0 has spoken.
  if (launch.rank != 0 && !host) std::this_thread::sleep_for(std::chrono::seconds(1));
  host.reset();  // waits for all
  throw Exit{2};
}

}  // namespace

void add_train(CommandLine& command) {
  auto options = std::make_shared<Options>();
  command.add("CONFIG", options->config, "JSON file").required();
  command.add("--set", options->overrides, "path=value, as in optimizer.lr=3e-3; may be repeated")
      .type_name("PATH=VALUE")
      .one_at_a_time();
  command.add_flag("--resume", options->resume, "insist on a checkpoint to go on from");
  command.set_action([options] { run(*options); });
}

}  // namespace rowan

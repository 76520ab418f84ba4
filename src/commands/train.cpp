#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/console.h"
#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "comm/agreement.h"
#include "comm/transports.h"
#include "commands/commands.h"
#include "kernels/backend.h"
#include "train/device.h"
#include "train/loop.h"

namespace rowan {
namespace {

struct TrainOptions {
  std::string config;
  std::vector<std::string> overrides;
  StartOptions start;
  int64_t steps = -1, from = -1;
};

// The config.json of a run names the folder in which the run began. If the folder was moved or copied since, a start
// would go on with another run, or begin one.
void check_own_folder(const TrainConfig& config, const std::vector<Edit>& edits) {
  namespace fs = std::filesystem;
  const fs::path file = config.file, folder = file.has_parent_path() ? file.parent_path() : ".";
  std::error_code unreadable;
  if (file.filename() != "config.json" || !fs::exists(folder / "starts.jsonl", unreadable)) return;
  if (fs::equivalent(folder, config.run.dir, unreadable)) return;
  for (const Edit& edit : edits)
    if (edit.path == "run.dir" || edit.path == "run") return;
  fail(
      "{}: run.dir: found {}, but this is the config of the run in {}, which was moved or copied; choose one with "
      "--set run.dir=...",
      config.file, config.run.dir, folder.string());
}

// All ranks must run the same binary: other builds may round differently, and other versions may exchange different
// messages.
std::string program_checksum() { return fmt::format("{:016x}", hash64(MappedFile("/proc/self/exe").text())); }

// Waits for the turn of this rank to report that it cannot reach the others, and to exit. Rank 0 is the first. Many
// launchers end all ranks once one has failed, so usually only one rank prints a line.
void wait_for_turn(int rank) {
  if (rank > 0) std::this_thread::sleep_for(std::chrono::seconds(2 + std::min(rank, 10)));
}

void run_train(const TrainOptions& options) {
  const Launch launch = detect_launch();
  std::unique_ptr<Communicator> host;
  int code = 0;
  try {
    host = make_communicator(launch);
    check_same(*host, "the program", program_checksum());
    const int shared = threads_of_rank(*host);
    // 0 selects the backend's default number of threads, which is right for a single process and if OMP_NUM_THREADS is
    // set.
    const int threads = launch.size == 1 || std::getenv("OMP_NUM_THREADS") ? 0 : shared;
    TrainConfig config;
    std::unique_ptr<Backend> backend;
    run_on_all_ranks(*host, [&] {
      std::vector<Edit> edits(options.overrides.begin(), options.overrides.end());
      if (options.steps >= 0) edits.push_back(fmt::format("run.steps={}", options.steps));
      config = load_config(options.config, edits);
      check_own_folder(config, edits);
      backend =
          make_backend(config.device, config.threads ? config.threads : threads, launch.local_rank, config.attention);
      resolve_precision(config, backend->fast(DType::bf16));
      config.device = backend->host_memory() ? Device::cpu : Device::cuda;
    });
    std::unique_ptr<Communicator> device = make_device_communicator(*host, *backend);
    StartOptions start = options.start;
    if (options.from >= 0) start.from = options.from;
    code = train(config, *backend, device ? *device : *host, start);
  } catch (const AgreedError& error) {
    if (!host) wait_for_turn(launch.rank);
    // Under mpirun the environment of one rank alone may be wrong; srun gives its own to all ranks.
    if (launch.rank == 0)
      tell("rowan: {}\n", error.what());
    else if (!host && launch.kind == Launch::Kind::mpi)
      tell("rowan: rank {}: {}\n", launch.rank, error.what());
    code = 2;
  } catch (const std::exception& error) {
    if (launch.size == 1) throw;
    if (!host) wait_for_turn(launch.rank);
    tell("rowan: rank {}: {}\n", launch.rank, message_of(error));
    if (host) host->abort(2);
    code = 2;
  }
  if (!code) return;
  host.reset();  // may wait for other ranks
  throw Exit{code};
}

}  // namespace

void add_train(CommandLine& command) {
  auto options = std::make_shared<TrainOptions>();
  command.add("CONFIG", options->config, "JSON file").required();
  command.add("--set", options->overrides, "path=value, as in optimizer.lr=3e-3; may be repeated")
      .type_name("PATH=VALUE")
      .one_at_a_time();
  command.add("--steps", options->steps, "same as --set run.steps=N").at_least(0);
  command.add_flag("--resume", options->start.resume,
                   "fail if there is no checkpoint to resume; the config may differ");
  command.add("--from", options->from, "go back to the checkpoint of this step; the config may differ").at_least(0);
  command.add("--profile", options->start.profile, "write a trace of the first 20 steps, for ui.perfetto.dev")
      .type_name("FILE")
      .check([](const std::string& file) {
        const auto folder = std::filesystem::path(file).parent_path();
        return folder.empty() || std::filesystem::is_directory(folder) ? "" : "there is no folder " + folder.string();
      });
  command.set_hint(hint_of_key);
  command.set_action([options] { run_train(*options); });
}

}  // namespace rowan

#include "bench/bench_run.h"

#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

#include "base/error.h"
#include "base/file_kind.h"
#include "base/files.h"
#include "base/random.h"
#include "base/threads.h"
#include "comm/agreement.h"
#include "comm/launch.h"
#include "comm/transports.h"
#include "commands/commands.h"
#include "data/shard_format.h"
#include "kernels/backend.h"
#include "train/device.h"
#include "train/plan.h"

namespace rowan {

namespace {

constexpr const char* results_begin = "{\n \"bench\": ";

}  // namespace

void add_json_option(CommandLine& command, std::string& file) {
  command.add("--json", file, "also write the results to this JSON file")
      .check([](const std::string& path) -> std::string {
        if (std::filesystem::is_directory(path)) return "found the folder " + path + ", expected a file";
        const auto folder = std::filesystem::absolute(path).parent_path();
        if (!std::filesystem::is_directory(folder)) return "found no folder " + folder.string();
        try {
          check_replaced(path, results_begin, "results of rowan bench");
        } catch (const Error& error) {
          return error.what();
        }
        return "";
      });
}

void write_json(const std::string& file, const Json& result) {
  if (file.empty()) return;
  // The path of a model may be invalid UTF-8.
  write_file_atomically(file, result.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void add_steps_option(CommandLine& command, int& steps) {
  command.add("--steps", steps, "steps to time; for a recipe that does more work in every Nth step: periods of N steps")
      .at_least(1)
      .show_default();
}

std::string median_text(int steps, int64_t period) {
  return period == 1 ? fmt::format("median of {}", steps)
                     : fmt::format("median of {} means of {} steps, the period of the recipe", steps, period);
}

ModelConfig model_of(const std::string& file) {
  const Json json = parse_json({file, read_file(file)});
  return json.is_object() && json.contains("model") ? load_config(file, {}).model : load_model(file);
}

void add_options(CommandLine& command, DeviceOptions& o) {
  command.add("--device", o.device).one_of<Device>().show_default();
  command.add("--threads", o.threads, "CPU threads; 0: OMP_NUM_THREADS, or one per logical CPU")
      .range(0, most_threads)
      .show_default();
  add_json_option(command, o.json);
}

std::unique_ptr<Backend> make_backend(const DeviceOptions& o) {
  auto backend = make_backend(named<Device>("--device", o.device), o.threads, 0,
                              named<AttentionKernels>("--attention", o.attention));
  if (!o.products.empty()) backend->time_products(std::filesystem::absolute(o.products).string());
  return backend;
}

void add_options(CommandLine& command, StepOptions& o) {
  command.add("--model", o.model, "model config").show_default();
  command.add("--batch", o.batch, "sequences per step").range(int64_t{1}, int64_t{1} << 20).show_default();
  command.add("--seq", o.seq, "tokens per sequence").range(int64_t{1}, int64_t{1} << 20).show_default();
  command.add("--precision", o.precision).one_of({"fp32", "bf16"}).show_default();
  command.add("--recompute", o.recompute).one_of<Recompute>().show_default();
  command.add("--attention", o.attention, "the attention kernels that a GPU uses")
      .one_of<AttentionKernels>()
      .show_default();
  command.add("--products", o.products,
              "time a GPU's algorithms for matrix products once, and keep the fastest in this file");
  add_options(command, static_cast<DeviceOptions&>(o));
}

Json result_of(const char* bench, const StepOptions& o) {
  return {{"bench", bench},   {"model", o.model}, {"precision", o.precision},
          {"batch", o.batch}, {"seq", o.seq},     {"recompute", o.recompute}};
}

OptimizerConfig recipe_config(const std::string& recipe) {
  auto source = std::make_shared<JsonSource>(JsonSource{"optimizer", Json{{"name", recipe}}.dump()});
  const Json json = parse_json(*source);
  return parse_optimizer(JsonObject(source, json));
}

MadeUpShard::MadeUpShard(int64_t count, int64_t vocabulary, Frequencies frequencies)
    : fd_(::memfd_create("made up shard", MFD_CLOEXEC)) {
  std::vector<uint16_t> tokens(static_cast<size_t>(count));
  Random random(1, 0);
  const auto ids = static_cast<uint64_t>(std::min<int64_t>(vocabulary, 1 << 16));
  for (uint16_t& token : tokens)
    token = static_cast<uint16_t>(frequencies == Frequencies::uniform
                                      ? static_cast<double>(random.below(ids))
                                      : std::pow(static_cast<double>(ids + 1), random.uniform()) - 1);
  std::string header(shard::header_bytes, '\0');
  const int32_t words[] = {shard::magic_u16, shard::version_u16, static_cast<int32_t>(count)};
  header.replace(0, sizeof words, reinterpret_cast<const char*>(words), sizeof words);
  std::ofstream file(path(), std::ios::binary);
  file << header;
  file.write(reinterpret_cast<const char*>(tokens.data()),
             static_cast<std::streamsize>(tokens.size() * sizeof tokens[0]));
  if (!file.flush()) fail("out of memory for a shard of {} tokens", count);
}

MadeUpShard::~MadeUpShard() { ::close(fd_); }

std::filesystem::path MadeUpShard::path() const { return fmt::format("/proc/self/fd/{}", fd_); }

BenchRun::BenchRun(Backend& backend, const StepOptions& o, const std::string& recipe)
    : alone_(make_single_communicator()) {
  start(backend, o, recipe, *alone_, ShardMode::none);
}

BenchRun::BenchRun(Backend& backend, const StepOptions& o, const std::string& recipe, Communicator& ranks,
                   ShardMode shard) {
  start(backend, o, recipe, ranks, shard);
}

void BenchRun::start(Backend& backend, const StepOptions& o, const std::string& recipe, Communicator& communicator,
                     ShardMode shard) {
  config.model = model_of(o.model);
  if (o.seq > config.model.positions)
    fail("--seq: found {}, expected at most {}, the positions of {}", o.seq, config.model.positions, o.model);
  config.batch = {o.batch, o.seq, 0};
  config.shard = shard;
  config.optimizer = recipe_config(recipe);
  config.schedule.shape = Schedule::Shape::constant;
  config.grad_clip = 1;
  config.precision = named<TrainPrecision>("--precision", o.precision);
  config.recompute = named<Recompute>("--recompute", o.recompute);
  constexpr int64_t most_tokens = int64_t{1} << 31;  // a shard has fewer tokens: its header counts them in an int32_t
  if (8 * o.batch * o.seq >= most_tokens)
    fail("--batch: found {} tokens ({} sequences of {}), expected fewer than {}", o.batch * o.seq, o.batch, o.seq,
         most_tokens / 8);
  const int here = ranks_on_machine(communicator);
  run_on_all_ranks(communicator, [&] { check_memory(config, backend, communicator.size(), here); });
  // The trainer maps the shard, so the tokens outlive `made_up`.
  const MadeUpShard made_up(8 * o.batch * o.seq + 1, config.model.vocabulary, Frequencies::zipf);
  config.data.train = {{{made_up.path().string()}, 1}};
  config.data.order = Order::sequential;
  trainer_ = std::make_unique<Trainer>(config, backend, communicator);
}

}  // namespace rowan

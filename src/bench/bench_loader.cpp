// rowan bench loader: measures the tokens per second that one thread reads into batches, without and with prefetching.
#include <fmt/core.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "bench/bench_run.h"
#include "commands/commands.h"
#include "data/batch_source.h"
#include "data/prefetch.h"

namespace rowan {
namespace {

struct LoaderBench {
  std::vector<std::string> files;
  std::string json;
  std::string reading = "packed";
  int64_t sequence_length = 1024, sequences = 64, end_id = -1;
  double seconds = 2;
};

// Calls next() for at least bench.seconds and returns the rate, padding included.
template <typename NextBatch>
double tokens_per_second(const LoaderBench& bench, NextBatch&& next) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  int64_t batches = 0;
  double seconds = 0;
  for (; seconds < bench.seconds; ++batches) {
    next();
    seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  }
  return static_cast<double>(batches * bench.sequences * bench.sequence_length) / seconds;
}

void bench_loader(LoaderBench bench) {
  if (bench.sequences > most_tokens_at_once / bench.sequence_length)
    fail("--sequences: found {} of {} tokens, expected at most {}", bench.sequences, bench.sequence_length,
         most_tokens_at_once / bench.sequence_length);
  std::unique_ptr<MadeUpShard> made_up;
  if (bench.files.empty()) {
    // The ids are uniform in [0, 500), so about one token in 500 is the end id 0.
    made_up = std::make_unique<MadeUpShard>(int64_t{1} << 26, 500, Frequencies::uniform);
    bench.files = {made_up->path().string()};
    bench.end_id = 0;
  }
  DataConfig config;
  config.train = {{bench.files, 1}};
  config.reading = named<Reading>("--reading", bench.reading);
  config.shards.end_id = static_cast<int32_t>(bench.end_id);
  const int64_t elements = bench.sequences * bench.sequence_length;
  fmt::print("{} reading, {} sequences of {}, one thread\n", bench.reading, bench.sequences, bench.sequence_length);
  Json rows = Json::array();
  for (Order order : {Order::sequential, Order::shuffled}) {
    config.order = order;
    const BatchSource source(config, bench.sequence_length, 42, INT32_MAX);
    std::vector<int32_t> inputs(static_cast<size_t>(elements)), targets(inputs.size());
    const int64_t warm = std::min<int64_t>(source.samples_per_epoch() / bench.sequences, 1 << 14);
    auto fill = [&](int64_t item, int32_t* in, int32_t* out) {
      source.fill(item * bench.sequences, bench.sequences, in, out);
    };
    // These batches are not timed. They fill the page cache with the data, or with the beginning of large data.
    for (int64_t batch = 0; batch < warm; ++batch) fill(batch, inputs.data(), targets.data());
    int64_t batch = 0;  // both passes begin with warm data
    const double direct = tokens_per_second(bench, [&] { fill(batch++, inputs.data(), targets.data()); });
    Prefetcher prefetcher(fill, 0, elements);
    const double prefetched = tokens_per_second(bench, [&] { prefetcher.next(); });
    fmt::print("{:10}  {:7.1f} million tokens/s{}   with the prefetch thread {:7.1f}\n", name_of(order), direct / 1e6,
               config.reading == Reading::documents ? ", padding included" : "", prefetched / 1e6);
    rows.push_back(
        {{"order", name_of(order)}, {"tokens_per_second", direct}, {"tokens_per_second_prefetched", prefetched}});
  }
  write_json(bench.json, {{"bench", "loader"},
                          {"reading", bench.reading},
                          {"sequences", bench.sequences},
                          {"sequence_length", bench.sequence_length},
                          {"rows", rows}});
}

}  // namespace

void add_bench_loader(CommandLine& command) {
  auto settings = std::make_shared<LoaderBench>();
  command.add("files", settings->files, "token shards (default: 64 Mi made-up tokens)");
  command.add("--reading", settings->reading, "packed rows or one document per row").one_of<Reading>();
  command.add("--sequence-length", settings->sequence_length, "tokens per row").range(int64_t{1}, most_tokens_at_once);
  command.add("--sequences", settings->sequences, "rows per batch").range(int64_t{1}, most_tokens_at_once);
  command.add("--end-id", settings->end_id, "id of the end token, if the shards do not name it")
      .range(int64_t{-1}, int64_t{INT32_MAX});
  command.add("--seconds", settings->seconds, "length of each measurement").range(1e-3, 1e6);
  add_json_option(command, settings->json);
  command.set_action([settings] { bench_loader(*settings); });
}

}  // namespace rowan

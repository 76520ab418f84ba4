// rowan bench ranks: compares several ranks with one rank that has the threads of all of them. One run measures both,
// alternately.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "bench/bench_run.h"
#include "comm/transports.h"
#include "commands/commands.h"
#include "kernels/backend.h"

namespace rowan {
namespace {

struct RanksBench : StepOptions {
  std::string optimizer = "adamw", shard = "optimizer";
  int steps = 5;
};

void bench_ranks(RanksBench o) {
  const Launch launch = detect_launch();
  std::unique_ptr<Communicator> host = make_communicator(launch);
  const int ranks = host->size();
  if (ranks == 1) fail("bench ranks: found 1 rank, expected several: mpirun --bind-to none -n 2 rowan bench ranks");
  o.device = "cpu";
  if (o.threads == 0) o.threads = std::max(1, threads_of_rank(*host));
  auto backend = make_backend(o);
  auto many = std::make_unique<BenchRun>(*backend, o, o.optimizer, *host, named<ShardMode>("--shard", o.shard));

  // Rank 0 also runs alone, with the threads of all ranks, while the others wait.
  DeviceOptions all = o;
  all.threads = o.threads * ranks;
  std::unique_ptr<Backend> wide;
  std::unique_ptr<BenchRun> one;
  if (host->rank() == 0) {
    wide = make_backend(all);
    one = std::make_unique<BenchRun>(*wide, o, o.optimizer);
  }
  const auto seconds_of = [&](BenchRun* run) {
    host->barrier();
    const auto start = std::chrono::steady_clock::now();
    if (run) run->trainer().step();
    host->barrier();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  std::vector<double> many_seconds, one_seconds, ratios;
  for (int step = -1; step < o.steps; ++step) {
    const double together = seconds_of(many.get()), alone = seconds_of(one.get());
    if (step < 0) continue;  // warm-up: touches memory
    many_seconds.push_back(together), one_seconds.push_back(alone), ratios.push_back(alone / together);
  }
  if (host->rank() == 0) {
    const double tokens = static_cast<double>(o.batch * o.seq), m = median(many_seconds), s = median(one_seconds);
    fmt::print("{} {} B={} T={}, {}, shard {}; medians of {} pairs\n", o.model, o.precision, o.batch, o.seq,
               o.optimizer, o.shard, o.steps);
    fmt::print("  {} ranks x {} threads   {:>10.1f} tokens/s ({:.1f} ms a step)\n", ranks, o.threads, tokens / m,
               m * 1e3);
    fmt::print("  1 rank x {} threads    {:>10.1f} tokens/s ({:.1f} ms a step)\n", all.threads, tokens / s, s * 1e3);
    fmt::print("  ratio                 {:>10.3f} (from {:.3f} to {:.3f})\n", median(ratios),
               *std::min_element(ratios.begin(), ratios.end()), *std::max_element(ratios.begin(), ratios.end()));
    Json result = result_of("ranks", o);
    result.update({{"device", backend->describe()},
                   {"optimizer", o.optimizer},
                   {"shard", o.shard},
                   {"ranks", ranks},
                   {"threads_of_a_rank", o.threads},
                   {"tokens_per_second", tokens / m},
                   {"tokens_per_second_alone", tokens / s},
                   {"ratio", median(ratios)}});
    write_json(o.json, result);
  }
}

}  // namespace

void add_bench_ranks(CommandLine& command) {
  auto o = std::make_shared<RanksBench>();
  add_options(command, static_cast<StepOptions&>(*o));
  command.add("--optimizer", o->optimizer, "recipe").show_default();
  command.add("--shard", o->shard).one_of<ShardMode>().show_default();
  command.add("--steps", o->steps).at_least(1).show_default();
  command.set_action([o] { bench_ranks(*o); });
}

}  // namespace rowan

// rowan bench ranks: compares several ranks with one rank that has the threads of all of them. One run measures both,
// alternately.
#include <fmt/core.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/console.h"
#include "base/error.h"
#include "bench/bench_run.h"
#include "comm/agreement.h"
#include "comm/transports.h"
#include "commands/commands.h"
#include "kernels/backend.h"

namespace rowan {
namespace {

struct RanksBench : StepOptions {
  std::string optimizer = "adamw", shard = "optimizer";
  int steps = 5;
};

// Throws AgreedError if rank 0 may not run on enough cores for the threads of all ranks, while the ranks together may:
// its threads would then share cores, and the comparison would be of bindings.
void check_binding(Communicator& host, int threads) {
  cpu_set_t mine, all;
  CPU_ZERO(&mine);
  CPU_ZERO(&all);
  sched_getaffinity(0, sizeof mine, &mine);
  const std::vector<std::string> sets = host.gather({reinterpret_cast<const char*>(&mine), sizeof mine});
  for (const std::string& set : sets) {
    cpu_set_t theirs;
    std::memcpy(&theirs, set.data(), sizeof theirs);
    CPU_OR(&all, &all, &theirs);
  }
  std::memcpy(&mine, sets[0].data(), sizeof mine);
  if (CPU_COUNT(&mine) < std::min(threads, CPU_COUNT(&all)))
    fail_on_all(
        "bench ranks: found rank 0 bound to {} of {} cores, expected at least {} for its threads: "
        "mpirun --bind-to none -n {} rowan bench ranks",
        CPU_COUNT(&mine), CPU_COUNT(&all), std::min(threads, CPU_COUNT(&all)), host.size());
}

void measure_ranks(RanksBench o, Communicator& host) {
  const int ranks = host.size();
  o.device = "cpu";
  if (o.threads == 0) o.threads = threads_of_rank(host);
  check_binding(host, o.threads * ranks);
  std::unique_ptr<Backend> backend;
  run_on_all_ranks(host, [&] {
    recipe_config(o.optimizer);
    model_of(o.model);
    backend = make_backend(o);
  });
  auto many = std::make_unique<BenchRun>(*backend, o, o.optimizer, host, named<ShardMode>("--shard", o.shard));

  // Rank 0 also runs alone, with the threads of all ranks, while the others wait.
  DeviceOptions all = o;
  all.threads = o.threads * ranks;
  std::unique_ptr<Backend> wide;
  std::unique_ptr<BenchRun> one;
  if (host.rank() == 0) {
    wide = make_backend(all);
    one = std::make_unique<BenchRun>(*wide, o, o.optimizer);
  }
  // A rank may own no matrix of the recipe, so its own period may be shorter.
  int64_t period = 1;
  for (const std::string& own : host.gather(std::to_string(many->trainer().optimizer().period())))
    period = std::max<int64_t>(period, std::stoll(own));
  // Seconds per step over one period.
  const auto seconds_of = [&](BenchRun* run) {
    host.barrier();
    const auto start = std::chrono::steady_clock::now();
    for (int64_t i = 0; run && i < period; ++i) run->trainer().step();
    host.barrier();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() /
           static_cast<double>(period);
  };
  std::vector<double> many_seconds, one_seconds, ratios;
  for (int step = -1; step < o.steps; ++step) {
    const double together = seconds_of(many.get()), alone = seconds_of(one.get());
    if (step < 0) continue;  // warm-up: touches memory, and starts the state of the optimizer
    many_seconds.push_back(together), one_seconds.push_back(alone), ratios.push_back(alone / together);
  }
  if (host.rank() == 0) {
    const double tokens = static_cast<double>(o.batch * o.seq), m = median(many_seconds), s = median(one_seconds);
    fmt::print("{} {} B={} T={}, {}, shard {}; in pairs, {}\n", o.model, o.precision, o.batch, o.seq, o.optimizer,
               o.shard, median_text(o.steps, period));
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
                   {"steps_of_a_period", period},
                   {"tokens_per_second", tokens / m},
                   {"tokens_per_second_alone", tokens / s},
                   {"ratio", median(ratios)}});
    write_json(o.json, result);
  }
}

void bench_ranks(const RanksBench& o) {
  std::unique_ptr<Communicator> host = make_communicator(detect_launch());
  if (host->size() == 1)
    fail("bench ranks: found 1 rank, expected several: mpirun --bind-to none -n 2 rowan bench ranks");
  bool failed = false;
  try {
    measure_ranks(o, *host);
  } catch (const AgreedError& error) {
    if (host->rank() == 0) tell("rowan: {}\n", error.what());
    failed = true;
  }
  host.reset();  // waits for the other ranks, except during an exception
  if (failed) throw Exit{2};
}

}  // namespace

void add_bench_ranks(CommandLine& command) {
  auto o = std::make_shared<RanksBench>();
  add_options(command, static_cast<StepOptions&>(*o));
  command.add("--optimizer", o->optimizer, "recipe").show_default();
  command.add("--shard", o->shard).one_of<ShardMode>().show_default();
  add_steps_option(command, o->steps);
  command.set_action([o] { bench_ranks(*o); });
}

}  // namespace rowan

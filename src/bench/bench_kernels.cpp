// rowan bench kernels: measures every operation that a training step and the optimizers call, on a model's own shapes.
// The ceilings of copies and products are measured in the same run.
#include <fmt/core.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "bench/bench_run.h"
#include "commands/commands.h"
#include "kernels/ceiling.h"
#include "kernels/dry/dry_backend.h"
#include "optim/optimizer.h"
#include "optim/recipe.h"
#include "optim/recipes.h"

namespace rowan {
namespace {

struct KernelOptions : StepOptions {
  // The first is the step's own recipe. Each further one adds only operations that earlier ones do not use.
  std::vector<std::string> recipes = {"adamw",     "rmnp",   "nora",    "mano",    "muon",
                                      "muoneq-rc", "namo-d", "normuon", "adamuon", "lion"};
  int repeats = 3;
  int64_t documents = 0;  // tokens per document when attention within documents is measured; 0: do not measure
};

struct Ceilings {
  double copy, product;
};

Ceilings ceilings(Backend& backend, DType dtype) { return {copy_rate(backend), square_product_rate(backend, dtype)}; }

// All calls of one operation on operands of the same shapes.
struct Measured {
  std::string in, operation, operands;
  int64_t calls = 0;   // calls in a step
  double seconds = 0;  // seconds of one call
  Work work;           // work of one call

  double bound(const Ceilings& c) const { return std::max(work.bytes / c.copy, work.flops / c.product); }
  bool bound_by_products(const Ceilings& c) const { return work.flops / c.product > work.bytes / c.copy; }
};

// Runs all calls in turn, so that each finds its operands in the cache state of a real step. Short calls are repeated
// until the wait at the end does not matter.
double seconds_of(Backend& backend, const std::vector<RecordedCall>& calls, int repeats) {
  auto all = [&] {
    for (const RecordedCall& call : calls) call.run(backend);
  };
  const double once = median_seconds(backend, 1, all);
  const int rounds = static_cast<int>(std::clamp(1e-3 / once, 1.0, 1000.0));
  const double seconds = median_seconds(backend, repeats, [&] {
    for (int i = 0; i < rounds; ++i) all();
  });
  return seconds / static_cast<double>(rounds * static_cast<int64_t>(calls.size()));
}

class KernelBench {
 public:
  KernelBench(Backend& backend, int repeats) : backend_(backend), repeats_(repeats) {}

  // Measures those operations in `calls` that no earlier list contained.
  void add(const std::string& in, const std::vector<RecordedCall>& calls) {
    std::vector<std::string> order;
    std::map<std::string, std::vector<RecordedCall>> kinds;
    for (const RecordedCall& call : calls) {
      if (known_.contains(call.operation)) continue;
      std::vector<RecordedCall>& kind = kinds[call.operation + " " + call.operands];
      if (kind.empty()) order.push_back(call.operation + " " + call.operands);
      kind.push_back(call);
    }
    for (const std::string& key : order) {
      const std::vector<RecordedCall>& kind = kinds[key];
      Measured m{in, kind[0].operation, kind[0].operands, static_cast<int64_t>(kind.size()), 0, {}};
      auto dry = make_dry_backend();
      kind[0].run(*dry);
      m.work = dry->work();
      m.seconds = seconds_of(backend_, kind, repeats_);
      rows_.push_back(m);
      known_.insert(m.operation);
    }
  }

  const std::vector<Measured>& rows() const { return rows_; }

 private:
  Backend& backend_;
  int repeats_;
  std::set<std::string> known_;
  std::vector<Measured> rows_;
};

// On a CPU: CPU seconds of all threads, which other processes do not change. On a GPU: wall-clock seconds.
double seconds_spent(Backend& backend, const std::function<void()>& work) {
  backend.synchronize();
  const clockid_t clock = backend.host_memory() ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
  auto now = [&] {
    timespec time{};
    ::clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double begin = now();
  work();
  backend.synchronize();
  return now() - begin;
}

// Attention over rows made of documents of `length` tokens, next to attention over whole rows; the fastest run of each.
Json documents_of(Backend& backend, const KernelOptions& o) {
  const ModelConfig model = load_model(o.model);
  const AttentionShape shape = model.attention(o.batch, o.seq, 0);
  const DType dtype = compute_dtype(o);
  Arena memory(backend, Category::workspace);
  Tensor qkv = memory.take(dtype, {shape.tokens(), shape.qkv_width()}),
         d_qkv = memory.take(dtype, {shape.tokens(), shape.qkv_width()}),
         out = memory.take(dtype, {shape.tokens(), shape.out_width()}),
         d_out = memory.take(dtype, {shape.tokens(), shape.out_width()}),
         sums = memory.take(DType::f32, {shape.batch, shape.heads, shape.seq}),
         tokens = memory.take(DType::i32, {shape.tokens()}), table = memory.take(DType::i32, {3, shape.tokens()});
  fill_random(backend, qkv);
  fill_random(backend, d_out);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < shape.tokens(); ++i) ids.push_back(i % o.seq % o.documents ? 1 : 0);
  backend.upload(tokens, ids.data());
  backend.find_documents(table, tokens, {0, true}, o.seq);
  double best[2][2];
  for (auto& row : best) row[0] = row[1] = INFINITY;
  for (int i = 0; i < o.repeats + 1; ++i)
    for (int within = 0; within < 2; ++within) {
      const AttentionRule rule{within ? table : Tensor(), {}};
      best[0][within] = std::min(
          best[0][within], seconds_spent(backend, [&] { backend.attention_forward(out, sums, qkv, shape, rule); }));
      best[1][within] = std::min(best[1][within], seconds_spent(backend, [&] {
                                   backend.attention_backward(d_qkv, d_out, out, sums, qkv, shape, rule);
                                 }));
    }
  Json result = {{"tokens", o.documents}};
  fmt::print("attention of {} rows of {}, in documents of {} beside whole rows ({}):\n", o.batch, o.seq, o.documents,
             backend.host_memory() ? "CPU time" : "time");
  for (int pass = 0; pass < 2; ++pass) {
    const char* name = pass ? "backward" : "forward";
    const double ratio = best[pass][1] / best[pass][0];
    fmt::print("  {:<9} {:.3f} ms beside {:.3f} ms: {:.3f}\n", name, 1e3 * best[pass][1], 1e3 * best[pass][0], ratio);
    result[name] = {{"seconds", best[pass][1]}, {"whole_rows_seconds", best[pass][0]}, {"ratio", ratio}};
  }
  return result;
}

// Prints one line per operation, summed over its shapes.
void print_table(const std::vector<Measured>& rows, const Ceilings& c) {
  fmt::print("{:<10}{:<30}{:>6}{:>12}   {:<9}{:>9}\n", "in", "operation", "calls", "ms a step", "bound by", "of bound");
  std::set<std::string> printed;
  for (const Measured& first : rows) {
    if (!printed.insert(first.operation).second) continue;
    int64_t calls = 0;
    double seconds = 0, bound = 0, products = 0;
    for (const Measured& m : rows) {
      if (m.operation != first.operation) continue;
      const double times = static_cast<double>(m.calls);
      calls += m.calls;
      seconds += times * m.seconds;
      bound += times * m.bound(c);
      if (m.bound_by_products(c)) products += times * m.bound(c);
    }
    fmt::print("{:<10}{:<30}{:>6}{:>12.3f}   {:<9}{:>9.3f}\n", first.in, first.operation, calls, seconds * 1e3,
               2 * products > bound ? "products" : "copy", bound / seconds);
  }
}

Json to_json(const std::vector<Measured>& rows, const Ceilings& c) {
  Json list = Json::array();
  for (const Measured& m : rows)
    list.push_back({{"in", m.in},
                    {"operation", m.operation},
                    {"operands", m.operands},
                    {"calls", m.calls},
                    {"seconds", m.seconds},
                    {"bytes", m.work.bytes},
                    {"flops", m.work.flops},
                    {"bound_by", m.bound_by_products(c) ? "products" : "copy"},
                    {"of_bound", m.bound(c) / m.seconds}});
  return list;
}

void bench_kernels(const KernelOptions& o) {
  for (const std::string& recipe : o.recipes) find_recipe(recipe);
  auto backend = make_backend(o);
  const DType dtype = compute_dtype(o);
  const Ceilings before = ceilings(*backend, dtype);
  BenchRun run(*backend, o, o.recipes[0]);
  KernelBench bench(*backend, o.repeats);
  bench.add("step", backend->record([&] { run.trainer().step(); }));
  for (const std::string& recipe : o.recipes) {
    const OptimizerConfig config = recipe_config(recipe);
    Optimizer optimizer(*backend, config, run.trainer().sharding().shares());
    for (int64_t step = 0; step < (config.main().direction == Direction::alternate_axis ? 2 : 1); ++step)
      bench.add(recipe, backend->record([&] { optimizer.step(step, 1e-3, 1); }));
  }
  const Ceilings after = ceilings(*backend, dtype);
  const Ceilings c{(before.copy + after.copy) / 2, (before.product + after.product) / 2};

  fmt::print("{} {} B={} T={} on {}\n", o.model, o.precision, o.batch, o.seq, backend->describe());
  fmt::print("ceilings: copy {:.1f} GB/s (read + write), products {:.1f} GFLOP/s\n", c.copy / 1e9, c.product / 1e9);
  print_table(bench.rows(), c);
  Json result = result_of("kernels", o);
  result.update({{"device", backend->describe()},
                 {"copy_bytes_per_second", c.copy},
                 {"product_flops_per_second", c.product},
                 {"rows", to_json(bench.rows(), c)}});
  if (o.documents) result["documents"] = documents_of(*backend, o);
  write_json(o.json, result);
}

}  // namespace

void add_bench_kernels(CommandLine& command) {
  auto o = std::make_shared<KernelOptions>();
  add_options(command, static_cast<StepOptions&>(*o));
  command.add("--recipe", o->recipes, "recipes to measure; the first one is that of the step").show_default();
  command.add("--repeats", o->repeats, "number of measurements; the median counts").at_least(1).show_default();
  command.add("--documents", o->documents, "also measure attention within documents of this many tokens").at_least(1);
  command.set_action([o] { bench_kernels(*o); });
}

}  // namespace rowan

// rowan bench kernels: measures the operations of a training step and of optimizer steps, on the shapes of a model. The
// same run measures the ceilings: the speeds of large copies, of large matrix products and, on a CPU, of exponentials.
// With --documents, it also compares attention within documents with attention over whole rows.
//
// The bound of an operation is the larger of two times at the speeds of the ceilings: the time to move its bytes, and
// the time for its FLOPs and its exponentials. The times for FLOPs and exponentials are added, because on a CPU both
// use the same execution ports. On a GPU, a separate unit computes exponentials. The rate of this unit is not measured,
// so the bound on a GPU leaves exponentials out.
#include <fmt/core.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "base/enum_names.h"
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
  // The training step uses the first recipe. The benchmark then runs the optimizer of each recipe alone, and measures
  // only the operations that neither the training step nor an earlier recipe called.
  std::vector<std::string> recipes = {"adamw",     "rmnp",   "nora",    "mano",    "muon",
                                      "muoneq-rc", "namo-d", "normuon", "adamuon", "lion"};
  int repeats = 3;
  int64_t documents = 0;  // measure attention within documents of this many tokens; 0: do not measure it
};

struct Ceilings {
  double copy, product, exponential;  // bytes, FLOPs and exponentials per second; infinite if not measured
};

enum class Limit : uint8_t { copy, products, exponentials };
constexpr auto names_of(Limit) { return enum_names("copy", "products", "exponentials"); }

// Measures the ceilings. measure_calls() does this before and after each of its measurements, because a machine's speed
// may change within seconds.
class CeilingProbe {
 public:
  CeilingProbe(Backend& backend, DType dtype) : backend_(backend), memory_(backend, Category::workspace) {
    const int64_t n = backend.host_memory() ? 1024 : 8192, copied = int64_t{1} << (backend.host_memory() ? 24 : 28);
    for (Tensor* x : {&a_, &b_, &c_}) *x = memory_.take(dtype, {n, n});
    for (Tensor* x : {&from_, &to_}) *x = memory_.take(DType::f32, {copied});
    fill_random(backend, a_);
    fill_random(backend, b_);
    measure();
  }

  Ceilings measure() {
    const double copy = seconds_of(backend_, [&] { backend_.copy(to_, from_); });
    const double product = seconds_of(backend_, [&] { backend_.matmul(c_, a_, b_); });
    const double exponential = backend_.exponential_rate(), n = static_cast<double>(a_.dim(0));
    return {2.0 * static_cast<double>(from_.bytes()) / copy, 2.0 * n * n * n / product,
            exponential > 0 ? exponential : INFINITY};
  }

 private:
  Backend& backend_;
  Arena memory_;
  Tensor a_, b_, c_, from_, to_;
};

// The calls of one operation on operands of the same dtypes and shapes.
struct Measured {
  std::string in, operation, operands;
  int64_t calls = 0;   // number of calls per step
  double seconds = 0;  // time of one call
  Work work;           // work of one call
  Ceilings beside;

  double copies() const { return work.bytes / beside.copy; }
  double products() const { return (work.flops + work.recomputed) / beside.product; }
  double exponentials() const { return work.exponentials / beside.exponential; }
  double bound() const { return std::max(copies(), products() + exponentials()); }
  double of_bound() const { return bound() / seconds; }
  // The ceiling that determines most of bound().
  Limit bound_by() const {
    if (copies() >= products() + exponentials()) return Limit::copy;
    return products() >= exponentials() ? Limit::products : Limit::exponentials;
  }
};

// Runs the calls one after another, because a call repeated on the same operands may find the operands in the caches.
// Repeats a short sequence until it takes about a millisecond, because the final synchronization would otherwise take
// much of the time. Measures `repeats` times, and stores in `m` the measurement with the median of_bound().
void measure_calls(Backend& backend, CeilingProbe& probe, const std::vector<RecordedCall>& calls, int repeats,
                   Measured& m) {
  auto all = [&] {
    for (const RecordedCall& call : calls) call.run(backend);
  };
  const double once = median_seconds(backend, 1, all);
  const int rounds = static_cast<int>(std::clamp(1e-3 / once, 1.0, 1000.0));
  const double runs = static_cast<double>(rounds) * static_cast<double>(calls.size());
  std::vector<Measured> turns;
  for (int turn = 0; turn < repeats; ++turn) {
    const Ceilings before = probe.measure();
    const double all_rounds = seconds_of(backend, [&] {
      for (int i = 0; i < rounds; ++i) all();
    });
    const Ceilings after = probe.measure();
    m.seconds = all_rounds / runs;
    m.beside = {(before.copy + after.copy) / 2, (before.product + after.product) / 2,
                (before.exponential + after.exponential) / 2};
    turns.push_back(m);
  }
  std::sort(turns.begin(), turns.end(),
            [](const Measured& x, const Measured& y) { return x.of_bound() < y.of_bound(); });
  m = turns[turns.size() / 2];
}

class KernelBench {
 public:
  // Calls `measured` after each row.
  KernelBench(Backend& backend, DType dtype, int repeats, std::function<void(const std::vector<Measured>&)> measured)
      : backend_(backend), probe_(backend, dtype), repeats_(repeats), measured_(std::move(measured)) {}

  // Measures the operations in `calls` that no earlier call of add() measured.
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
      Measured m{in, kind[0].operation, kind[0].operands, static_cast<int64_t>(kind.size()), 0, {}, {}};
      auto dry = make_dry_backend();
      kind[0].run(*dry);
      m.work = dry->work();
      measure_calls(backend_, probe_, kind, repeats_, m);
      rows_.push_back(m);
      known_.insert(m.operation);
      measured_(rows_);
    }
  }

  const std::vector<Measured>& rows() const { return rows_; }

 private:
  Backend& backend_;
  CeilingProbe probe_;
  int repeats_;
  std::function<void(const std::vector<Measured>&)> measured_;
  std::set<std::string> known_;
  std::vector<Measured> rows_;
};

// Seconds that work() takes. On a CPU: CPU time of all threads of this process. On a GPU: wall-clock time.
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

// Compares attention within documents of o.documents tokens with attention over whole rows. Each reported time is the
// least of several runs.
Json documents_of(Backend& backend, const KernelOptions& o) {
  const ModelConfig model = model_of(o.model);
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
  fmt::print("attention of {} rows of {}, within documents of {} and over whole rows ({}):\n", o.batch, o.seq,
             o.documents, backend.host_memory() ? "CPU time" : "time");
  for (int pass = 0; pass < 2; ++pass) {
    const char* name = pass ? "backward" : "forward";
    const double ratio = best[pass][1] / best[pass][0];
    fmt::print("  {:<9} {:.3f} ms and {:.3f} ms: ratio {:.3f}\n", name, 1e3 * best[pass][1], 1e3 * best[pass][0],
               ratio);
    result[name] = {{"seconds", best[pass][1]}, {"whole_rows_seconds", best[pass][0]}, {"ratio", ratio}};
  }
  return result;
}

void print_ceilings(const std::vector<Measured>& rows) {
  const auto range = [&](double Ceilings::*rate) {
    const auto less = [rate](const Measured& x, const Measured& y) { return x.beside.*rate < y.beside.*rate; };
    const auto [least, most] = std::minmax_element(rows.begin(), rows.end(), less);
    return std::pair(least->beside.*rate / 1e9, most->beside.*rate / 1e9);
  };
  const auto copy = range(&Ceilings::copy), product = range(&Ceilings::product),
             exponential = range(&Ceilings::exponential);
  fmt::print("ceilings: copy {:.1f} to {:.1f} GB/s (read + write), products {:.1f} to {:.1f} GFLOP/s", copy.first,
             copy.second, product.first, product.second);
  if (std::isfinite(exponential.second))
    fmt::print(", exponentials {:.2f} to {:.2f} G/s", exponential.first, exponential.second);
  fmt::print("\n");
}

// Prints one line per operation: calls, time and bound of all operand shapes together.
void print_table(const std::vector<Measured>& rows) {
  fmt::print("{:<10}{:<30}{:>6}{:>12}   {:<12}{:>9}\n", "in", "operation", "calls", "ms a step", "bound by",
             "of bound");
  std::set<std::string> printed;
  for (const Measured& first : rows) {
    if (!printed.insert(first.operation).second) continue;
    int64_t calls = 0;
    double seconds = 0, bound = 0;
    std::array<double, count_of<Limit>> parts{};
    for (const Measured& m : rows) {
      if (m.operation != first.operation) continue;
      const double times = static_cast<double>(m.calls);
      calls += m.calls;
      seconds += times * m.seconds;
      bound += times * m.bound();
      parts[static_cast<size_t>(m.bound_by())] += times * m.bound();
    }
    const auto most = std::max_element(parts.begin(), parts.end()) - parts.begin();
    fmt::print("{:<10}{:<30}{:>6}{:>12.3f}   {:<12}{:>9.3f}\n", first.in, first.operation, calls, seconds * 1e3,
               name_of(static_cast<Limit>(most)), bound / seconds);
  }
}

Json to_json(const std::vector<Measured>& rows) {
  Json list = Json::array();
  for (const Measured& m : rows)
    list.push_back({{"in", m.in},
                    {"operation", m.operation},
                    {"operands", m.operands},
                    {"calls", m.calls},
                    {"seconds", m.seconds},
                    {"bytes", m.work.bytes},
                    {"flops", m.work.flops + m.work.recomputed},
                    {"exponentials", m.work.exponentials},
                    {"copy_bytes_per_second", m.beside.copy},
                    {"product_flops_per_second", m.beside.product},
                    {"exponentials_per_second", m.beside.exponential},  // null in JSON if infinite
                    {"bound_by", name_of(m.bound_by())},
                    {"of_bound", m.of_bound()}});
  return list;
}

void bench_kernels(const KernelOptions& o) {
  for (const std::string& recipe : o.recipes) find_recipe(recipe);
  auto backend = make_backend(o);
  const DType dtype = compute_dtype(o);
  BenchRun run(*backend, o, o.recipes[0]);
  Json result = result_of("kernels", o);
  result.update({{"device", backend->describe()}, {"complete", false}});
  // A kill leaves the rows so far.
  KernelBench bench(*backend, dtype, o.repeats, [&](const std::vector<Measured>& rows) {
    result["rows"] = to_json(rows);
    write_json(o.json, result);
  });
  bench.add("step", backend->record([&] { run.trainer().step(); }));
  for (const std::string& recipe : o.recipes) {
    const OptimizerConfig config = recipe_config(recipe);
    Optimizer optimizer(*backend, config, run.trainer().sharding().shares());
    for (int64_t step = 0; step < (config.main().direction == Direction::alternate_axis ? 2 : 1); ++step)
      bench.add(recipe, backend->record([&] { optimizer.step(step, 1e-3, 1); }));
  }
  fmt::print("{} {} B={} T={} on {}\n", o.model, o.precision, o.batch, o.seq, backend->describe());
  print_ceilings(bench.rows());
  print_table(bench.rows());
  if (o.documents) result["documents"] = documents_of(*backend, o);
  result["complete"] = true;
  write_json(o.json, result);
}

}  // namespace

void add_bench_kernels(CommandLine& command) {
  auto o = std::make_shared<KernelOptions>();
  add_options(command, static_cast<StepOptions&>(*o));
  command.add("--recipe", o->recipes, "recipes to measure; the training step uses the first").show_default();
  command.add("--repeats", o->repeats, "number of measurements; the median counts").at_least(1).show_default();
  command.add("--documents", o->documents, "also measure attention within documents of this many tokens").at_least(1);
  command.set_action([o] { bench_kernels(*o); });
}

}  // namespace rowan

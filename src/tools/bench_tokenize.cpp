// rowan bench tokenize: how fast text becomes tokens, from records in memory to ids, reading JSON included.
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "data/tokenize_batch.h"
#include "tools/bench_run.h"
#include "tools/commands.h"

namespace rowan {
namespace {

struct Arguments {
  std::string tokenizer, field = "text", json;
  std::vector<std::string> inputs;
  int threads = 1;
  double seconds = 5;
};

constexpr size_t most_bytes = size_t{256} << 20;

// The first 256 MiB of the inputs.
std::vector<RawBatch> read_batches(const Arguments& arguments) {
  std::vector<std::string> paths;
  for (const std::string& input : arguments.inputs)
    for (const auto& path : expand_glob(input)) paths.push_back(path.string());
  RawReader reader(paths, TextFormat::by_name, TextSplit::file);
  std::vector<RawBatch> batches;
  size_t bytes = 0;
  for (RawBatch batch; bytes < most_bytes && reader.next(batch);) {
    bytes += batch.bytes.size();
    batches.push_back(batch);
  }
  return batches;
}

void run(const Arguments& arguments) {
  auto tokenizer = make_tokenizer(arguments.tokenizer);
  std::vector<RawBatch> batches = read_batches(arguments);
  std::atomic<size_t> next = 0;
  std::atomic<uint64_t> text_bytes = 0, tokens = 0;
  using Clock = std::chrono::steady_clock;
  Clock::time_point start = Clock::now(),
                    deadline = start + std::chrono::microseconds(int64_t(arguments.seconds * 1e6));
  auto work = [&] {
    while (Clock::now() < deadline) {
      const RawBatch& raw = batches[next++ % batches.size()];
      TokenizedBatch batch = tokenize_batch(raw, arguments.field, false, *tokenizer, shard::EndPlace::before);
      text_bytes += batch.text_bytes;
      tokens += batch.ids.size();
    }
  };
  std::vector<std::thread> workers;
  for (int i = 0; i < arguments.threads; ++i) workers.emplace_back(work);
  for (std::thread& worker : workers) worker.join();
  double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  if (text_bytes == 0) fail("no document in the input");
  const double bytes_rate = static_cast<double>(text_bytes) / seconds, rate = static_cast<double>(tokens) / seconds;
  fmt::print("{}: {} threads, {:.1f} MB of text/s, {:.2f} million tokens/s\n", arguments.tokenizer, arguments.threads,
             bytes_rate / 1e6, rate / 1e6);
  write_json(arguments.json, {{"bench", "tokenize"},
                              {"tokenizer", arguments.tokenizer},
                              {"threads", arguments.threads},
                              {"text_bytes_per_second", bytes_rate},
                              {"tokens_per_second", rate}});
}

}  // namespace

void add_bench_tokenize(CLI::App& bench) {
  auto arguments = std::make_shared<Arguments>();
  arguments->threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  CLI::App* command = bench.add_subcommand("tokenize", "Text to tokens, in memory");
  command->add_option("--tokenizer", arguments->tokenizer, "bytes, gpt2:FILE or sentencepiece:FILE")->required();
  command->add_option("inputs", arguments->inputs, "Files or patterns, as for `rowan tokenize`")->required();
  command->add_option("--field", arguments->field, "JSONL: the field that holds the text")->capture_default_str();
  command->add_option("--threads", arguments->threads, "Workers")->check(CLI::Range(1, 1024))->capture_default_str();
  command->add_option("--seconds", arguments->seconds, "How long to measure")->capture_default_str();
  add_json_option(*command, arguments->json);
  command->callback([arguments] { run(*arguments); });
}

}  // namespace rowan

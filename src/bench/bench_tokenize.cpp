// rowan bench tokenize: measures the speed of tokenizing records in memory, including JSON parsing. Without inputs, it
// tokenizes made-up documents that are hard to split.
#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "bench/bench_run.h"
#include "commands/commands.h"
#include "corpus/hard_text.h"
#include "corpus/tokenize_batch.h"

namespace rowan {
namespace {

struct TokenizeBench {
  std::string tokenizer, field = "text", json;
  std::vector<std::string> inputs;
  int threads = 1;
  double seconds = 5;
};

constexpr size_t most_bytes = size_t{256} << 20;
// Records that a thread takes at once. The number is small, so that all threads finish at about the same time.
constexpr uint64_t batch_records = 64;

// Reads about the first 256 MiB of the inputs, or all if they hold less. Plain text is split into lines.
std::vector<RawBatch> read_batches(const TokenizeBench& arguments) {
  std::vector<std::string> paths;
  for (const std::string& input : arguments.inputs)
    for (const auto& path : expand_glob(input)) paths.push_back(path.string());
  RawReader reader(paths, TextFormat::by_name, TextSplit::line);
  std::vector<RawBatch> batches;
  size_t bytes = 0;
  for (RawBatch batch; bytes < most_bytes && reader.next(batch, batch_records);) {
    bytes += batch.bytes.size();
    batches.push_back(batch);
  }
  return batches;
}

using Clock = std::chrono::steady_clock;

// Measures the rate at which the threads tokenize all batches once and then, until `deadline`, again and again.
Json measure(const char* name, const TokenizeBench& arguments, const std::vector<RawBatch>& batches,
             const Tokenizer& tokenizer, Clock::time_point deadline) {
  std::atomic<size_t> next = 0;
  std::atomic<uint64_t> text_bytes = 0, tokens = 0;
  const Clock::time_point start = Clock::now();
  auto work = [&] {
    for (size_t i; (i = next++) < batches.size() || Clock::now() < deadline;) {
      TokenizedBatch batch = tokenize_batch(batches[i % batches.size()], arguments.field, TextSplit::line, tokenizer,
                                            shard::EndPlace::before);
      text_bytes += batch.text_bytes;
      tokens += batch.ids.size();
    }
  };
  {
    std::vector<std::jthread> workers;
    for (int i = 0; i < arguments.threads; ++i) workers.emplace_back(work);
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  if (text_bytes == 0) fail("found no document in the input");
  const double bytes_rate = static_cast<double>(text_bytes) / seconds, rate = static_cast<double>(tokens) / seconds;
  fmt::print("{:10}  {:6.1f} MB of text/s, {:5.2f} million tokens/s   ({:.1f} MB on {} threads)\n", name,
             bytes_rate / 1e6, rate / 1e6, static_cast<double>(text_bytes) / 1e6, arguments.threads);
  return {{"text_bytes_per_second", bytes_rate}, {"tokens_per_second", rate}};
}

// Seconds per megabyte for documents that are hard to split, of 256 KiB and of 1 MiB. A splitter that takes quadratic
// time needs four times as long per megabyte for the longer documents.
Json measure_hard(const Tokenizer& tokenizer) {
  constexpr size_t small = size_t{1} << 18, large = size_t{1} << 20;
  auto seconds_a_megabyte = [&](const std::string& text) {
    const Clock::time_point start = Clock::now();
    (void)tokenizer.encode(text);
    return std::chrono::duration<double>(Clock::now() - start).count() * 1e6 / static_cast<double>(text.size());
  };
  Json result = Json::object();
  double worst = 0;
  const std::vector<HardText> shorter = hard_texts(small), longer = hard_texts(large);
  for (size_t i = 0; i < longer.size(); ++i) {
    seconds_a_megabyte(shorter[i].text);  // warm-up: touches memory
    const double at_first = seconds_a_megabyte(shorter[i].text), later = seconds_a_megabyte(longer[i].text);
    fmt::print("{:21}  {:7.3f} s a MB in a document of 1 MiB, {:7.3f} in one of 256 KiB\n", longer[i].name, later,
               at_first);
    result[longer[i].name] = {{"seconds_per_megabyte", later}, {"of_a_quarter", at_first}};
    worst = std::max(worst, later);
  }
  fmt::print("{:21}  {:7.3f} s a MB\n", "worst", worst);
  result["worst"] = worst;
  return result;
}

// A tokenizer may cache words, which makes repeated text look fast, so the first pass is reported separately.
void bench_tokenize(const TokenizeBench& arguments) {
  auto tokenizer = make_tokenizer(arguments.tokenizer);
  fmt::print("{}\n", arguments.tokenizer);
  Json result = {{"bench", "tokenize"}, {"tokenizer", arguments.tokenizer}, {"threads", arguments.threads}};
  if (arguments.inputs.empty()) {
    result["hard_texts"] = measure_hard(*tokenizer);
    return write_json(arguments.json, result);
  }
  const std::vector<RawBatch> batches = read_batches(arguments);
  result["first_pass"] = measure("first pass", arguments, batches, *tokenizer, Clock::now());
  result["repeated"] = measure("repeated", arguments, batches, *tokenizer,
                               Clock::now() + std::chrono::microseconds(int64_t(arguments.seconds * 1e6)));
  write_json(arguments.json, result);
}

}  // namespace

void add_bench_tokenize(CommandLine& command) {
  auto arguments = std::make_shared<TokenizeBench>();
  arguments->threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  command.add("--tokenizer", arguments->tokenizer, "bytes, gpt2:FILE, sentencepiece:FILE or huggingface:FILE")
      .required();
  command.add("inputs", arguments->inputs,
              "files or patterns, as for `rowan tokenize`; by default made-up documents that are hard to split");
  command.add("--field", arguments->field, "field of a JSON line that holds the text").show_default();
  command.add("--threads", arguments->threads, "number of threads").range(1, 1024).show_default();
  command.add("--seconds", arguments->seconds, "length of the measurement; the text is repeated")
      .show_default()
      .range(0.0, 1e6);
  add_json_option(command, arguments->json);
  command.set_action([arguments] { bench_tokenize(*arguments); });
}

}  // namespace rowan

// rowan tokenize: turns raw text into shards.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>

#include "base/console.h"
#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "commands/commands.h"
#include "commands/text_inputs.h"
#include "corpus/tokenize_job.h"
#include "corpus/tokenize_notes.h"

namespace rowan {
namespace {

struct TokenizeArguments {
  TokenizeOptions options;
  std::string tokenizer, format = "auto", split = "file", end, invalid = "keep";
  std::vector<std::string> inputs, validation_inputs;
};

// Shows the progress: on a terminal a line that is rewritten in place, otherwise a new line about every 30 seconds.
// done() prints the totals.
class Meter {
 public:
  // `total_bytes` is the size of all inputs on disk; 0 if unknown.
  explicit Meter(uint64_t total_bytes) : total_(total_bytes), terminal_(::isatty(2) == 1) {}

  void show(const TokenizeProgress& now) {
    double seconds = elapsed();
    // The counts of a resumed run include earlier runs, so the rate is measured from the first counts seen here.
    if (!first_) first_ = now;
    if (seconds < next_) return;
    next_ = seconds + (terminal_ ? 0.5 : 30.0);
    double rate = static_cast<double>(now.text_bytes - first_->text_bytes) / seconds;
    double raw_rate = static_cast<double>(now.input_bytes - first_->input_bytes) / seconds;
    std::string line = fmt::format("{:.1f} MB text, {} documents, {} tokens, {:.1f} MB/s",
                                   static_cast<double>(now.text_bytes) / 1e6, now.documents, now.tokens, rate / 1e6);
    if (total_ > 0 && raw_rate > 0)
      line = fmt::format("{:5.1f}%  {}, {} left",
                         100.0 * static_cast<double>(now.input_bytes) / static_cast<double>(total_), line,
                         human_duration(static_cast<double>(total_ - std::min(total_, now.input_bytes)) / raw_rate));
    tell("{}{}{}", terminal_ ? "\r\033[K" : "", line, terminal_ ? "" : "\n");
  }

  void done(const TokenizeResult& result, bool holds_out) {
    const TokenizeProgress& total = result.total;
    tell("{}{} documents, {} tokens ({} of them for validation) from {:.1f} MB of text in {}\n",
         terminal_ ? "\r\033[K" : "", total.documents, total.tokens, result.validation_tokens,
         static_cast<double>(total.text_bytes) / 1e6, human_duration(elapsed()));
    if (result.validation_tokens == 0 && holds_out)
      tell("warning: no text was held out for validation; use --validation or --validation-input\n");
    else if (result.validation_tokens == total.tokens)
      tell("warning: all text was held out for validation, and none is left to train on; use another --validation\n");
    for (const std::string& line : left_out(result)) tell("{}\n", line);
  }

 private:
  uint64_t total_;
  bool terminal_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double next_ = 0.5;
  std::optional<TokenizeProgress> first_;

  double elapsed() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }
};

void run_tokenize(TokenizeArguments& arguments) {
  TokenizeOptions& options = arguments.options;
  options.format = named<TextFormat>("--format", arguments.format);
  options.split = named<TextSplit>("--split", arguments.split);
  if (!arguments.end.empty()) options.end = named<shard::EndPlace>("--end", arguments.end);
  auto tokenizer = make_tokenizer(arguments.tokenizer, named<InvalidUtf8>("--invalid", arguments.invalid));
  uint64_t total = 0;
  options.inputs = expand_texts(arguments.inputs, total, options.out);
  options.validation_inputs = expand_texts(arguments.validation_inputs, total, options.out);
  if (options.validation == "auto") {
    const std::optional<std::string> noted = noted_validation(options.out);
    options.validation = noted                               ? *noted
                         : options.validation_inputs.empty() ? usual_validation(options.inputs, total)
                                                             : "none";
  }
  bool known = std::find(options.inputs.begin(), options.inputs.end(), "-") == options.inputs.end();
  Meter meter(known ? total : 0);
  TokenizeResult result = tokenize(options, *tokenizer, [&](const TokenizeProgress& now) { meter.show(now); });
  if (result.already_done)
    tell("{}: complete already, {} tokens ({} of them for validation), every checksum right{}\n", options.out,
         result.total.tokens, result.validation_tokens,
         known ? "" : "; standard input was not read, because its text cannot be added to finished shards");
  else
    meter.done(result, options.validation != "none" || !options.validation_inputs.empty());
}

}  // namespace

void add_tokenize(CommandLine& command) {
  auto arguments = std::make_shared<TokenizeArguments>();
  TokenizeOptions& options = arguments->options;
  options.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  command.add("--tokenizer", arguments->tokenizer, "bytes, gpt2:FILE, sentencepiece:FILE or huggingface:FILE")
      .required();
  command.add("--out", options.out, "folder for the shards; an interrupted command in it is continued").required();
  command
      .add("inputs", arguments->inputs,
           "files, folders or patterns: .txt, .md, .jsonl, .json, each also .gz or .zst; - reads standard input")
      .required();
  command.add("--format", arguments->format, "format of the inputs; auto goes by the file name, and reads - as JSONL")
      .one_of<TextFormat>()
      .show_default();
  command.add("--field", options.field, "field of a JSON line that holds the text").show_default();
  command.add("--split", arguments->split, "in plain text, a document is a file, ends at an empty line, or is a line")
      .one_of<TextSplit>()
      .show_default();
  command
      .add("--end", arguments->end,
           "whether the end token comes before or after a document (default: after for sentencepiece, else before)")
      .one_of<shard::EndPlace>();
  options.validation = "auto";
  command
      .add("--validation", options.validation,
           "text to hold out for validation: last:PERCENT%, none, every:N, documents:N, tokens:N or hash:FRACTION; "
           "auto is the last tenth, at most 50 MB, or the rule of the shards in the folder")
      .show_default();
  command.add("--validation-input", arguments->validation_inputs,
              "files, folders or patterns that are only validation data");
  command.add("--shard-tokens", options.shard_tokens, "tokens per shard")
      .range(uint64_t{1}, uint64_t{INT32_MAX})
      .show_default();
  command.add("--threads", options.threads, "number of threads; the output does not depend on it")
      .range(1, 1024)
      .show_default();
  command.add("--invalid", arguments->invalid, "bytes that are not UTF-8: keep them, or skip the document")
      .one_of<InvalidUtf8>()
      .show_default();
  command.add_flag("--strict", options.strict, "stop at the first document that would be skipped");
  command.add("--save-seconds", options.save_seconds, "seconds between saves of the progress")
      .show_default()
      .range(0.0, 1e9);
  command.set_action([arguments] { run_tokenize(*arguments); });
}

}  // namespace rowan

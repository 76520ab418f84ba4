// rowan tokenizer train: trains a sentencepiece model on your own text.
#include "tokenizer/tokenizer.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <thread>

#include "base/console.h"
#include "base/error.h"
#include "base/file_kind.h"
#include "base/files.h"
#include "commands/commands.h"
#include "commands/text_inputs.h"
#include "corpus/train_tokenizer.h"

namespace rowan {
namespace {

struct TokenizerArguments {
  TokenizerTraining training;
  std::string out, kind = "bpe";
  std::vector<std::string> inputs;
};

void run_tokenizer(TokenizerArguments& arguments) {
  check_replaced(arguments.out, "\n", "a sentencepiece model");  // "\n" is the first byte of such a model
  uint64_t bytes = 0;
  arguments.training.inputs = expand_texts(arguments.inputs, bytes);
  arguments.training.bpe = arguments.kind == "bpe";
  AllSkipped all;
  const std::string model = train_tokenizer(arguments.training, all);
  for (const auto& [reason, skipped] : all) tell("skipped {}: {} (first: {})\n", skipped.count, reason, skipped.first);
  std::error_code unreadable;
  if (std::filesystem::exists(arguments.out, unreadable) && read_file(arguments.out) != model)
    fail("{}: found another tokenizer, which existing shards and runs may need; choose another --out", arguments.out);
  write_file_atomically(arguments.out, model);
  const auto tokenizer = make_tokenizer("sentencepiece:" + arguments.out);
  tell("{}: {} ids; --tokenizer {} reads it\n", arguments.out, tokenizer->vocab_size(), tokenizer->spec());
}

void add_train_tokenizer(CommandLine& command) {
  auto arguments = std::make_shared<TokenizerArguments>();
  TokenizerTraining& training = arguments->training;
  training.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  command.add("--out", arguments->out, "sentencepiece model to write").required();
  command
      .add("inputs", arguments->inputs,
           "files, folders or patterns: .txt, .md, .jsonl, .json, each also .gz or .zst; - reads standard input")
      .required();
  command.add("--kind", arguments->kind, "byte pair encoding or Kudo's unigram model")
      .one_of({"bpe", "unigram"})
      .show_default();
  command.add("--vocabulary", training.vocabulary, "number of ids")
      .range(int64_t{300}, int64_t{1} << 20)
      .show_default();
  command.add("--field", training.field, "field of a JSON line that holds the text").show_default();
  command.add("--threads", training.threads, "number of threads").range(1, 1024).show_default();
  command.set_action([arguments] { run_tokenizer(*arguments); });
}

}  // namespace

void add_tokenizer(CommandLine& command) {
  static constexpr Command table[] = {
      {"train", "train a tokenizer on your own text", add_train_tokenizer},
  };
  add_commands(command, table);
}

}  // namespace rowan

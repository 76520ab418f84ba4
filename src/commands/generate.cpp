#include "evaluate/generate.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>

#include "base/console.h"
#include "base/error.h"
#include "commands/commands.h"
#include "evaluate/prompt.h"
#include "kernels/backend.h"
#include "run/predictor.h"
#include "run/run_folder.h"
#include "run/tokenizer_match.h"
#include "tokenizer/tokenizer.h"
#include "train/device.h"

namespace rowan {
namespace {

struct GenerateOptions {
  std::string step = "newest", weights = "raw", run, prompt, device = "auto";
  int64_t tokens = 200, context = 0;
  Sampling sampling{.temperature = 0.8};
};

void run_generate(const GenerateOptions& options) {
  if (!std::filesystem::exists(options.run))
    fail("{}: found no such folder, expected a run; the text to continue is given by --prompt", options.run);
  RunFolder folder(
      options.run, options.step, [](const std::string& text) { tell("rowan: {}\n", text); }, options.weights);
  if (folder.tokenizer().empty())
    fail("{}: found no tokenizer in the run's config; generating text needs one", options.run);
  std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(folder.tokenizer());
  check_same_tokenizer(tokenizer->hash(), folder.tokenizer(), tokenizer_of_checkpoint(folder.checkpoint()), "the run");
  Prompt prompt = make_prompt(folder.data(), *tokenizer, "--prompt", options.prompt);
  std::vector<int32_t>& tokens = prompt.tokens;

  std::unique_ptr<Backend> backend = make_backend(named<Device>("--device", options.device), 0, 0);
  const int64_t wanted = static_cast<int64_t>(tokens.size()) + options.tokens, positions = folder.model().positions;
  if (options.context > positions)
    fail("--context: found {}, expected at most {}, the model's positions", options.context, positions);
  // A model predicts badly at positions that it was not trained at.
  const int64_t trained = folder.config().object("batch").integer("sequence_length", positions, 1);
  const int64_t context = options.context ? options.context : std::min(trained, positions);
  Predictor predict(*backend, folder, std::min(context, wanted), tokenizer.get());
  std::string shown;
  auto print = [&](bool complete) {
    std::string text = tokenizer->decode(std::span(tokens).subspan(prompt.text));
    if (!complete) text.resize(complete_size(text));
    if (!text.starts_with(shown)) return;
    fmt::print("{}", text.substr(shown.size()));
    std::fflush(stdout);
    shown = text;
  };
  print(false);
  generate(tokens, options.tokens, tokenizer->end_id(), options.sampling, std::ref(predict), [&] { print(false); });
  print(true);
  fmt::print("\n");
}

}  // namespace

void add_generate(CommandLine& command) {
  auto options = std::make_shared<GenerateOptions>();
  command.add("RUN", options->run, "run directory, or one of its checkpoints").required();
  command.add("--step", options->step, "which checkpoint of the run: a step, best or newest").show_default();
  command.add("--weights", options->weights, "which weights: raw, or an average that the run keeps (ema or tail)")
      .show_default()
      .one_of({"raw", "ema", "tail"});
  command.add("--prompt", options->prompt, "text to continue; by default starts a new document").may_be_empty();
  command.add("--tokens", options->tokens, "at most this many tokens")
      .show_default()
      .range(int64_t{1}, int64_t{1} << 30);
  command
      .add("--context", options->context,
           "at most this many tokens are read to predict the next; 0: the run's batch.sequence_length")
      .show_default()
      .at_least(0);
  command.add("--temperature", options->sampling.temperature, "0 always takes the most likely token")
      .show_default()
      .range(0.0, 100.0);
  command.add("--top-k", options->sampling.top_k, "draw among the k most likely tokens; 0: all")
      .show_default()
      .at_least(0);
  command.add("--seed", options->sampling.seed, "seed of the random numbers").show_default();
  command.add("--device", options->device).one_of<Device>().show_default();
  command.set_hint([](const std::string& option) {
    return std::string(option.empty() ? "; the text to continue is given by --prompt" : "");
  });
  command.set_action([options] { run_generate(*options); });
}

}  // namespace rowan

// rowan new MODEL --text FOLDER: writes shards of your own text, and a config that trains on them.
#include <errno.h>
#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <thread>

#include "base/console.h"
#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/json.h"
#include "base/names.h"
#include "commands/commands.h"
#include "commands/text_inputs.h"
#include "corpus/tokenize_job.h"
#include "tokenizer/utf8.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

struct NewArguments {
  std::string model, tokenizer = "bytes", out;
  std::vector<std::string> text;
};

struct Size {
  const char* name;
  int64_t width, layers, heads, mlp;
};
constexpr Size sizes[] = {{"2m", 160, 6, 5, 432}, {"10m", 320, 8, 5, 864}, {"25m", 448, 10, 7, 1216}};

constexpr int64_t context = 256;  // in tokens

Json model_named(const std::string& name, int64_t vocabulary) {
  std::vector<std::string> names;
  for (const char* family : {"llama", "gpt2"})
    for (const Size& size : sizes) {
      names.push_back(fmt::format("{}-{}", family, size.name));
      if (name != names.back()) continue;
      if (std::string(family) == "gpt2")
        return {{"model_type", "gpt2"}, {"n_embd", size.width},   {"n_layer", size.layers},
                {"n_head", size.heads}, {"n_positions", context}, {"vocab_size", vocabulary}};
      return {{"model_type", "llama"},
              {"hidden_size", size.width},
              {"intermediate_size", size.mlp},
              {"num_hidden_layers", size.layers},
              {"num_attention_heads", size.heads},
              {"vocab_size", vocabulary},
              {"max_position_embeddings", context},
              {"tie_word_embeddings", true}};
    }
  fail("model: found '{}', expected one of {}{}", name, join(names), did_you_mean(name, names));
}

// The data is named by a pattern, data/NAME/train-*.bin, which must match nothing else.
void check_name(const std::string& name) {
  const fs::path path = name;
  const std::string last = path.filename().string();
  if (last.empty() || last == "." || last == "..")
    fail("--out: found '{}', expected a name, which may follow a folder", name);
  if (last.find_first_of("*?[\\") != std::string::npos)
    fail("--out: found '{}', expected a name without *, ?, [ and \\, because data.train is a pattern", name);
  if (first_invalid_utf8(name) != name.size())
    fail("--out: found '{}', expected valid UTF-8, because the config names the data", name);
  if (path.has_parent_path() && !fs::is_directory(path.parent_path()))
    fail("--out: found '{}', but {} is no folder", name, path.parent_path().string());
}

void run_new(const NewArguments& arguments) {
  const auto tokenizer = make_tokenizer(arguments.tokenizer);
  const std::string name = arguments.out.empty() ? arguments.model : arguments.out;
  const fs::path config = name + ".json";
  const std::string data = "data/" + fs::path(name).filename().string();
  const Json model = model_named(arguments.model, tokenizer->vocab_size());
  check_name(name);
  if (fs::exists(config)) fail("{}: exists already; choose another name with --out", config.string());

  TokenizeOptions options;
  uint64_t bytes = 0;
  options.inputs = expand_texts(arguments.text, bytes);
  options.validation = usual_validation(options.inputs, bytes);
  options.out = data;
  options.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const TokenizeResult made = tokenize(options, *tokenizer, [](const TokenizeProgress&) {});
  for (const std::string& line : left_out(made)) tell("{}\n", line);
  Json shards = {{"train", data + "/train-*.bin"}};
  if (made.validation_tokens > 0)
    shards["validation"] = data + "/validation-*.bin";
  else
    tell("warning: the text is too short to hold out validation data; the config names none\n");

  const int64_t steps = 1000;
  const Json json = {{"model", model},
                     {"tokenizer", arguments.tokenizer},
                     {"data", shards},
                     {"batch", {{"sequences", 8}, {"sequence_length", context}}},
                     {"optimizer", {{"name", "muon-moonlight"}, {"lr", 0.01}, {"weight_decay", 0.1}}},
                     {"schedule", {{"name", "cosine"}, {"warmup_steps", 50}, {"min_lr_ratio", 0.05}}},
                     {"grad_clip", 1.0},
                     {"run",
                      {{"dir", "runs/" + fs::path(name).filename().string()},
                       {"steps", steps},
                       {"eval_every", 200},
                       {"eval_tokens", 131072},
                       {"checkpoint_every", 200},
                       {"sample_tokens", 200}}}};
  write_file_atomically(config, json.dump(2) + "\n");
  tell("{}: {} tokens, {} of them for validation; now: {} train {}\n", config.string(),
       human_count(static_cast<double>(made.total.tokens)), human_count(static_cast<double>(made.validation_tokens)),
       shell_word(program_invocation_name), shell_word(config.string()));
}

}  // namespace

void add_new(CommandLine& command) {
  auto arguments = std::make_shared<NewArguments>();
  command.add("MODEL", arguments->model, "llama or gpt2 of 2, 10 or 25 million parameters: llama-2m, gpt2-10m ...")
      .required();
  command.add("--text", arguments->text, "files, folders or patterns: .txt, .md, .jsonl, .json, each also .gz or .zst")
      .required();
  command.add("--tokenizer", arguments->tokenizer, "bytes, gpt2:FILE, sentencepiece:FILE or huggingface:FILE")
      .show_default();
  command.add("--out", arguments->out, "NAME of NAME.json, data/NAME and runs/NAME; MODEL by default");
  command.set_action([arguments] { run_new(*arguments); });
}

}  // namespace rowan

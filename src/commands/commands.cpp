#include "commands/commands.h"

#include <fmt/core.h>

#include <algorithm>
#include <sstream>

#include "train/config.h"

namespace rowan {

std::span<const Command> commands() {
  static constexpr Command table[] = {
      {"bench", "measure speed and compare it with ceilings measured in the same run", add_bench},
      {"compare", "compare several runs, or the runs of a sweep, in one table", add_compare},
      {"eval", "compute the validation loss of a run, or its score in a task", add_eval},
      {"export", "write a run's model as a folder that transformers reads", add_export},
      {"generate", "continue a text with the model of a run", add_generate},
      {"inspect", "show what a file is, what it contains and what is wrong with it", add_inspect},
      {"new", "make shards of your own text, and a config that trains on them", add_new},
      {"optimizers", "list the optimizer recipes, or explain one: rule, paper, switches", add_optimizers},
      {"plan", "count memory, FLOPs and traffic of a run, without running it", add_plan},
      {"report", "write the results of runs, or of a sweep, as one page with figures", add_report},
      {"sweep", "run all runs of a sweep file on the GPUs or cores of this machine; continues after a stop", add_sweep},
      {"tales", "write the embedded corpus of stories, with its exact entropy", add_tales},
      {"tokenize", "turn text into shards of tokens", add_tokenize},
      {"tokenizer", "train a tokenizer on your own text", add_tokenizer},
      {"train", "train a model from one JSON file; continues after a stop", add_train},
  };
  return table;
}

void add_commands(CommandLine& parent, std::span<const Command> commands) {
  parent.require_command();
  for (const Command& command : commands) {
    CommandLine line = parent.add_command(command.name, command.help);
    command.add(line);
  }
}

std::string hint_of_key(const std::string& option) {
  std::string key = option;
  std::replace(key.begin(), key.end(), '-', '_');
  const std::string path = path_of_key(key);
  return path.empty() ? "" : fmt::format("; a config's key is set by --set {}=VALUE", path);
}

std::vector<std::string> listed(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

}  // namespace rowan

#include "commands/commands.h"

#include <sstream>

namespace rowan {

std::span<const Command> commands() {
  static constexpr Command table[] = {
      {"bench", "measure speed, against ceilings measured in the same run", add_bench},
      {"compare", "judge several runs, or a sweep, in one table", add_compare},
      {"eval", "compute the validation loss of a run, or its score in a task", add_eval},
      {"export", "write a run's model as a directory that transformers opens", add_export},
      {"generate", "continue a text with what a run has learnt", add_generate},
      {"inspect", "tell what a file is, what is in it and what is wrong with it", add_inspect},
      {"new", "write a config for one's own text, and its shards", add_new},
      {"optimizers", "list the optimizer recipes, or explain one: rule, paper, switches", add_optimizers},
      {"plan", "count memory, FLOPs and traffic of a run, without running it", add_plan},
      {"report", "write what runs, or a sweep, came to as one page with pictures", add_report},
      {"sweep", "make the runs of a table, on what GPUs or cores there are; goes on where it was", add_sweep},
      {"tales", "write the embedded corpus of stories, with its exact entropy", add_tales},
      {"tokenize", "turn text into shards of tokens", add_tokenize},
      {"tokenizer", "make a tokenizer of one's own text", add_tokenizer},
      {"train", "train a model from one JSON file; continues what was interrupted", add_train},
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

std::vector<std::string> listed(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

}  // namespace rowan

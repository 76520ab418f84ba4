#include "commands/commands.h"

namespace rowan {

std::span<const Command> commands() {
  static constexpr Command table[] = {
      {"bench", "measure speed, against ceilings measured in the same run", add_bench},
      {"compare", "show what several runs came to, in one table", add_compare},
      {"eval", "compute the validation loss of a run, or its score in a task", add_eval},
      {"export", "write a run's model as a directory that transformers opens", add_export},
      {"generate", "continue a text with what a run has learnt", add_generate},
      {"inspect", "tell what a file is, what is in it and what is wrong with it", add_inspect},
      {"new", "write a config for one's own text, and its shards", add_new},
      {"optimizers", "list the optimizer recipes, or explain one: rule, paper, switches", add_optimizers},
      {"plan", "count memory, FLOPs and traffic of a run, without running it", add_plan},
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

}  // namespace rowan

// The subcommands of `rowan`. Each function add_COMMAND declares the arguments and the action of COMMAND. If the action
// throws Error, main() prints it and exits with code 2.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "commands/command_line.h"

namespace rowan {

struct Command {
  const char* name;
  const char* help;  // one line
  void (*add)(CommandLine& command);
};

// All subcommands, in the order of --help.
std::span<const Command> commands();
void add_commands(CommandLine& parent, std::span<const Command> commands);

// A hint for commands with --set: names the config keys that an unknown option may mean, such as optimizer.lr for "lr".
// Returns "" if there is no such key.
std::string hint_of_key(const std::string& option);

// Splits a text such as "a,b,c" at its commas.
std::vector<std::string> listed(const std::string& text);

// Thrown to exit with the exit code `code`. Any message has already been printed.
struct Exit {
  int code;
};

void add_bench(CommandLine& command);
void add_compare(CommandLine& command);
void add_eval(CommandLine& command);
void add_export(CommandLine& command);
void add_generate(CommandLine& command);
void add_inspect(CommandLine& command);
void add_new(CommandLine& command);
void add_optimizers(CommandLine& command);
void add_plan(CommandLine& command);
void add_report(CommandLine& command);
void add_sweep(CommandLine& command);
void add_tales(CommandLine& command);
void add_tokenize(CommandLine& command);
void add_tokenizer(CommandLine& command);
void add_train(CommandLine& command);

// The subcommands of `rowan bench`.
void add_bench_direction(CommandLine& command);
void add_bench_gemm(CommandLine& command);
void add_bench_kernels(CommandLine& command);
void add_bench_loader(CommandLine& command);
void add_bench_optimizer(CommandLine& command);
void add_bench_ranks(CommandLine& command);
void add_bench_step(CommandLine& command);
void add_bench_tokenize(CommandLine& command);

}  // namespace rowan

// The subcommands of `rowan`. Each function registers one command whose callback does the work and throws Error on a
// user's mistake; main() turns that into one line and exit code 2.
#pragma once

#include <CLI/CLI.hpp>

namespace rowan {

// For options: an integer that is `least` or more.
CLI::Validator at_least(int64_t least);
// For --device.
CLI::Validator device_name();

// Thrown to leave with a code when the message has been printed elsewhere.
struct Exit {
  int code;
};

CLI::App* add_bench(CLI::App& app);
CLI::App* add_compare(CLI::App& app);
CLI::App* add_eval(CLI::App& app);
CLI::App* add_export(CLI::App& app);
CLI::App* add_generate(CLI::App& app);
CLI::App* add_inspect(CLI::App& app);
CLI::App* add_optimizers(CLI::App& app);
CLI::App* add_plan(CLI::App& app);
CLI::App* add_tales(CLI::App& app);
CLI::App* add_tokenize(CLI::App& app);
CLI::App* add_train(CLI::App& app);

// The parts of `rowan bench`.
void add_bench_kernels(CLI::App& bench);
void add_bench_loader(CLI::App& bench);
void add_bench_optimizer(CLI::App& bench);
void add_bench_ranks(CLI::App& bench);
void add_bench_step(CLI::App& bench);
void add_bench_tokenize(CLI::App& bench);

}  // namespace rowan

// rowan bench: one room for every measurement.
#include "commands/commands.h"

namespace rowan {

CLI::App* add_bench(CLI::App& app) {
  CLI::App* bench = app.add_subcommand("bench", "measure speed, against ceilings measured in the same run");
  bench->require_subcommand(1);
  add_bench_kernels(*bench);
  add_bench_loader(*bench);
  add_bench_optimizer(*bench);
  add_bench_ranks(*bench);
  add_bench_step(*bench);
  add_bench_tokenize(*bench);
  return bench;
}

}  // namespace rowan

// rowan bench: the subcommands that measure speed.
#include "commands/commands.h"

namespace rowan {

void add_bench(CommandLine& command) {
  static constexpr Command parts[] = {
      {"direction", "the direction alone, matrix by matrix, as RMNP and Nora time it; and what each recipe keeps",
       add_bench_direction},
      {"kernels", "every operation of a training step and of the optimizers, against the ceiling that bounds it",
       add_bench_kernels},
      {"loader", "tokens a second of the data loader, from page cache", add_bench_loader},
      {"optimizer", "ms per step of each recipe; bytes moved over copy bandwidth, products over the product ceiling",
       add_bench_optimizer},
      {"ranks", "under mpirun: tokens/s of all ranks, beside one with all threads", add_bench_ranks},
      {"step", "tokens/s and MFU of a training step, beside its products alone", add_bench_step},
      {"gemm", "product and copy ceilings", add_bench_gemm},
      {"tokenize", "text to tokens, in memory", add_bench_tokenize},
  };
  add_commands(command, parts);
}

}  // namespace rowan

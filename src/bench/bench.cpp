// rowan bench: the subcommands that measure speed.
#include "commands/commands.h"

namespace rowan {

void add_bench(CommandLine& command) {
  static constexpr Command parts[] = {
      {"direction",
       "time of the direction alone, for each matrix, as the RMNP and Nora papers measure it; with --model, also the "
       "bytes of optimizer state",
       add_bench_direction},
      {"kernels", "every operation of a training step and of the optimizers, compared with the ceiling that limits it",
       add_bench_kernels},
      {"loader", "tokens per second of the data loader, from page cache", add_bench_loader},
      {"optimizer",
       "ms per step of each recipe; its bandwidth over copy bandwidth, its FLOP/s over the product ceiling",
       add_bench_optimizer},
      {"ranks", "under mpirun: tokens/s of all ranks, and of one rank with all threads", add_bench_ranks},
      {"step", "tokens/s and MFU of a training step, and the time of its products alone", add_bench_step},
      {"gemm", "ceilings of matrix products and copies", add_bench_gemm},
      {"tokenize", "speed of tokenizing text in memory", add_bench_tokenize},
  };
  add_commands(command, parts);
}

}  // namespace rowan

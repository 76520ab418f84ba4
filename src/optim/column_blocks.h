// Lets the optimizer update blocks of columns as matrices of their own. The optimizer's operations need each matrix in
// contiguous memory. Before a batch of such blocks is updated, the blocks are therefore copied one after another into
// memory that all batches of such blocks share. The blocks' optimizer state is always stored one block after another.
#pragma once

#include <array>

#include "kernels/arena.h"
#include "optim/stage.h"

namespace rowan {

using SlotPart = Tensor OptimizerSlot::*;
// The tensors that are copied. Momentum and other state need no copy, because they are stored block by block.
inline constexpr SlotPart moved_parts[] = {&OptimizerSlot::weight, &OptimizerSlot::master, &OptimizerSlot::gradient};

// `wholes` are the matrices [rows, n * cols] of a batch. The batch's slots are the n blocks [rows, cols] of each
// matrix, in order. For a batch without blocks of columns, `wholes` is empty, and reserve(), place(), split() and
// join() do nothing.
class ColumnBlocks {
 public:
  // Makes take() allocate enough for this batch.
  void reserve(const Slots& wholes);
  // Allocates the memory that all batches share.
  void take(Arena& memory);
  // Points the slots of a batch at their blocks in the shared memory.
  void place(Slots& slots, const Slots& wholes) const;

  // split() copies weights, masters and gradients into the shared memory; join() copies weights and masters back.
  void split(Backend& backend, const Slots& wholes, int64_t cols) const { move(backend, wholes, cols, true); }
  void join(Backend& backend, const Slots& wholes, int64_t cols) const { move(backend, wholes, cols, false); }

 private:
  void move(Backend& backend, const Slots& wholes, int64_t cols, bool apart) const;

  struct Room {
    int64_t bytes = 0;
    Tensor memory;
    // A tensor that starts at byte `at` of `memory`.
    Tensor from(int64_t at, DType dtype, std::initializer_list<int64_t> shape) const {
      return {memory.as<char>() + at, dtype, shape};
    }
  };
  std::array<Room, std::size(moved_parts)> rooms_;
};

}  // namespace rowan

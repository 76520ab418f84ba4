// Blocks of columns as matrices of their own. The optimizer's operations want a matrix in one piece, so the blocks of a
// parameter lie one behind another, in memory that all batches share, while their batch is updated. State is kept in
// that order.
#pragma once

#include <array>

#include "kernels/arena.h"
#include "optim/stage.h"

namespace rowan {

using SlotPart = Tensor OptimizerSlot::*;
// What is moved; momentum and the like have their blocks one behind another always.
inline constexpr SlotPart moved_parts[] = {&OptimizerSlot::weight, &OptimizerSlot::master, &OptimizerSlot::gradient};

// `wholes`: the matrices [rows, n * cols] of a batch, whose slots are their blocks [rows, cols] in order; empty: of a
// batch without such blocks, which nothing is done for.
class ColumnBlocks {
 public:
  // Makes sure that there will be room for a batch.
  void reserve(const Slots& wholes);
  // Takes the memory of all that was reserved.
  void take(Arena& memory);
  // Gives the slots of a batch their places.
  void place(Slots& slots, const Slots& wholes) const;

  // Brings the blocks to their places, and weights and masters back.
  void split(Backend& backend, const Slots& wholes, int64_t cols) const { move(backend, wholes, cols, true); }
  void join(Backend& backend, const Slots& wholes, int64_t cols) const { move(backend, wholes, cols, false); }

 private:
  void move(Backend& backend, const Slots& wholes, int64_t cols, bool apart) const;

  struct Room {
    int64_t bytes = 0;
    Tensor memory;
    // Elements from byte `at` on.
    Tensor from(int64_t at, DType dtype, std::initializer_list<int64_t> shape) const {
      return {memory.as<char>() + at, dtype, shape};
    }
  };
  std::array<Room, std::size(moved_parts)> rooms_;
};

}  // namespace rowan

#include "optim/column_blocks.h"

#include <algorithm>

#include "kernels/backend.h"

namespace rowan {

namespace {

int64_t bytes_of(const Tensor& x) { return static_cast<int64_t>(x.bytes()); }

}  // namespace

void ColumnBlocks::reserve(const Slots& wholes) {
  for (size_t p = 0; p < rooms_.size(); ++p) {
    int64_t bytes = 0;
    for (const OptimizerSlot& whole : wholes) bytes += bytes_of(whole.*moved_parts[p]);
    rooms_[p].bytes = std::max(rooms_[p].bytes, bytes);
  }
}

void ColumnBlocks::take(Arena& memory) {
  for (Room& room : rooms_) room.memory = memory.take(DType::bf16, {room.bytes / 2});
}

void ColumnBlocks::place(Slots& slots, const Slots& wholes) const {
  if (wholes.empty()) return;
  for (size_t p = 0; p < rooms_.size(); ++p) {
    const SlotPart part = moved_parts[p];
    const Tensor& whole = wholes[0].*part;
    if (whole.empty()) continue;
    int64_t at = 0;
    for (OptimizerSlot& slot : slots) {
      slot.*part = rooms_[p].from(at, whole.dtype, {slot.first.numel()});
      at += bytes_of(slot.*part);
    }
  }
}

void ColumnBlocks::move(Backend& backend, const Slots& wholes, int64_t cols, bool apart) const {
  for (size_t p = 0; p < rooms_.size(); ++p) {
    const SlotPart part = moved_parts[p];
    if (!apart && part == &OptimizerSlot::gradient) continue;
    int64_t at = 0;
    for (const OptimizerSlot& slot : wholes) {
      const Tensor& whole = slot.*part;
      if (whole.empty()) continue;
      const int64_t rows = whole.dim(0), n = whole.dim(1) / cols;
      Tensor blocks = rooms_[p].from(at, whole.dtype, {n, rows, cols}), lines = whole.view({rows, n, cols});
      if (apart)
        backend.swap_axes(blocks, lines);
      else
        backend.swap_axes(lines, blocks);
      at += bytes_of(whole);
    }
  }
}

}  // namespace rowan

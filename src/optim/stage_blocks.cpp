// Splits parameters into blocks of rows or columns. The optimizer makes each block a slot, so the other stages process
// a block like a whole matrix.
#include <numeric>

#include "base/error.h"
#include "optim/stages.h"

namespace rowan {
namespace {

// The number of blocks, if each head has `head` of the `size` rows or columns. A block is one head, or two heads with
// Blocks::By::pairs.
int64_t head_blocks(const Recipe& recipe, const Parameter& parameter, int64_t size, int64_t head) {
  const int64_t heads = size / head, each = recipe.blocks.by == Blocks::By::pairs ? 2 : 1;
  if (heads % each != 0)
    fail("optimizer: blocks: {}: found {} heads, expected an even number for pairs", parameter.name, heads);
  return heads / each;
}

}  // namespace

std::vector<int64_t> block_rows(const Recipe& recipe, const Parameter& parameter) {
  const Blocks& blocks = recipe.blocks;
  const int64_t rows = parameter.rows();
  auto equal = [&](int64_t count) {
    if (count == 0 || rows % count != 0)
      fail("optimizer: blocks: {}: found {} rows, expected a multiple of {}, the number of blocks", parameter.name,
           rows, count);
    return std::vector<int64_t>(static_cast<size_t>(count), rows / count);
  };
  switch (blocks.by) {
    case Blocks::By::none:
      break;
    case Blocks::By::count:
      return equal(blocks.count);
    case Blocks::By::rows:
      if (std::accumulate(blocks.rows.begin(), blocks.rows.end(), int64_t{0}) != rows)
        fail("optimizer: blocks: {}: found {} rows, expected {}, the sum of the list", parameter.name, rows,
             std::accumulate(blocks.rows.begin(), blocks.rows.end(), int64_t{0}));
      return blocks.rows;
    case Blocks::By::heads:
    case Blocks::By::pairs:
      if (parameter.head_rows > 0) return equal(head_blocks(recipe, parameter, rows, parameter.head_rows));
      break;
  }
  return {rows};
}

int64_t column_blocks(const Recipe& recipe, const Parameter& parameter) {
  if (parameter.head_cols == 0 || !recipe.blocks.of_heads()) return 1;
  return head_blocks(recipe, parameter, parameter.cols(), parameter.head_cols);
}

const Stage blocks_stage = {.name = "blocks",
                            .switches = [](Recipe& r, Switches& s) { s.blocks(r.blocks); },
                            .on = [](const Recipe& r) { return r.blocks.by != Blocks::By::none; },
                            .atom = [](const Recipe&) { return Atom::matrix; },
                            .run = [](StageRun&) {},
                            .describe = [](const Recipe& r) -> std::string {
                              switch (r.blocks.by) {
                                case Blocks::By::heads:
                                  return "heads";
                                case Blocks::By::pairs:
                                  return "pairs of heads";
                                default:
                                  return "blocks";
                              }
                            }};

}  // namespace rowan

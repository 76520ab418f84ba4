#include <gtest/gtest.h>

#include "comm/merged_pieces.h"

namespace rowan {
namespace {

TEST(MergedPieces, AreNeighboursOfOneOwnerAndDtype) {
  std::vector<float> memory(100);
  auto piece = [&](size_t begin, int64_t rows, int64_t cols, int owner) {
    return Piece{Tensor(memory.data() + begin, DType::f32, {rows, cols}), owner};
  };
  const std::vector<Piece> given = {piece(0, 2, 5, 1),
                                    piece(10, 1, 5, 1),
                                    piece(15, 1, 5, 2),
                                    piece(20, 3, 2, 2),
                                    piece(30, 1, 4, 2),
                                    piece(34, 1, 1, 1),
                                    {Tensor(memory.data() + 35, DType::bf16, {2}), 1}};
  const std::vector<Piece> one = merged(given);
  ASSERT_EQ(one.size(), 5u);
  const size_t begins[] = {0, 15, 30, 34, 35};
  const int64_t counts[] = {15, 11, 4, 1, 2};
  const int owners[] = {1, 2, 2, 1, 1};
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(one[i].tensor.data, memory.data() + begins[i]);
    EXPECT_EQ(one[i].tensor.numel(), counts[i]);
    EXPECT_EQ(one[i].owner, owners[i]);
  }
  EXPECT_TRUE(merged({}).empty());
}

}  // namespace
}  // namespace rowan

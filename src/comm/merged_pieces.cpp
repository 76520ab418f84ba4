#include "comm/merged_pieces.h"

namespace rowan {

std::vector<Piece> merged(const std::vector<Piece>& pieces) {
  std::vector<Piece> result;
  for (const Piece& piece : pieces) {
    const Tensor& next = piece.tensor;
    if (!result.empty()) {
      Tensor& last = result.back().tensor;
      if (result.back().owner == piece.owner && last.dtype == next.dtype &&
          last.as<char>() + last.bytes() == next.as<char>()) {
        last = Tensor(last.data, last.dtype, {last.numel() + next.numel()});
        continue;
      }
    }
    result.push_back({Tensor(next.data, next.dtype, {next.numel()}), piece.owner});
  }
  return result;
}

}  // namespace rowan

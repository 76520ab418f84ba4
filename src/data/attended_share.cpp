#include "data/attended_share.h"

#include <algorithm>
#include <vector>

namespace rowan {

double attended_share(const BatchSource& batches, const std::optional<DocumentConfig>& documents) {
  if (!documents) return 1;
  const int64_t seq = batches.sequence_length(), rows = std::min<int64_t>(batches.samples_per_epoch(), 256);
  const bool opens = documents->end_token == EndToken::first;
  std::vector<int32_t> inputs(static_cast<size_t>(seq)), targets(inputs.size());
  auto scores = [](int64_t tokens) { return static_cast<double>(tokens) * static_cast<double>(tokens + 1) / 2; };
  double left = 0;
  for (int64_t row = 0; row < rows; ++row) {
    batches.fill(row, 1, inputs.data(), targets.data());
    int64_t begin = 0;
    for (int64_t t = 1; t <= seq; ++t) {
      if (t < seq && inputs[static_cast<size_t>(opens ? t : t - 1)] != batches.end_id()) continue;
      left += scores(t - begin);
      begin = t;
    }
  }
  return left / (static_cast<double>(rows) * scores(seq));
}

}  // namespace rowan

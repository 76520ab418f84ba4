#include "evaluate/bits_per_byte.h"

#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace rowan {

TargetText text_of_targets(const ValidationSet& data, const Tokenizer& tokenizer) {
  std::vector<int64_t> bytes(static_cast<size_t>(tokenizer.vocab_size()));
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) bytes[static_cast<size_t>(id)] = tokenizer.token_bytes(id);
  std::vector<int32_t> inputs(static_cast<size_t>(data.sequence_length())), targets(inputs.size());
  TargetText text;
  for (int64_t row = 0; row < data.rows(); ++row) {
    data.fill(row, 1, inputs.data(), targets.data());
    for (int32_t target : targets) {
      if (target == ignored_target || target == tokenizer.end_id()) continue;
      const int64_t represented = target < tokenizer.vocab_size() ? bytes[static_cast<size_t>(target)] : 0;
      text.bytes += represented;
      text.unknown += represented == 0;
    }
  }
  return text;
}

double bits_per_byte(const ValidationLosses& losses, int64_t bytes) {
  if (bytes == 0) return std::numeric_limits<double>::quiet_NaN();
  return losses.mean * static_cast<double>(losses.targets) / std::numbers::ln2 / static_cast<double>(bytes);
}

}  // namespace rowan

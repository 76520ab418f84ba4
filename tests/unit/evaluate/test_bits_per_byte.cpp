// Tests losses in bits per byte with a tokenizer whose tokens stand for different numbers of bytes.
#include <cmath>

#include "evaluate/bits_per_byte.h"
#include "tokenizer/tokenizer.h"
#include "unit/data/token_files.h"

namespace rowan {
namespace {

// Five ids: four pieces of text of 1, 2, 4 and 3 bytes, and the end id 4.
class PieceTokenizer : public Tokenizer {
 public:
  PieceTokenizer() { vocab_size_ = 5, end_id_ = 4; }
  void encode(std::string_view, std::vector<int32_t>&) const override {}
  std::string decode(std::span<const int32_t> ids) const override {
    const char* const pieces[] = {"a", "bc", " the", "\xe2\x82\xac", ""};
    std::string text;
    for (int32_t id : ids) text += pieces[id];
    return text;
  }
};

using BitsPerByte = WithFolder;

ValidationLosses mean_over(double mean, int64_t targets) {
  ValidationLosses losses;
  losses.mean = mean;
  losses.targets = targets;
  return losses;
}

TEST_F(BitsPerByte, AreTheWholeLossInBitsOverTheBytes) {
  EXPECT_DOUBLE_EQ(bits_per_byte(mean_over(2, 30), 90), 2 * 30 / std::log(2.0) / 90);
  EXPECT_DOUBLE_EQ(bits_per_byte(mean_over(std::log(2.0), 8), 8), 1);
  EXPECT_TRUE(std::isnan(bits_per_byte(mean_over(2, 30), 0)));
}

// The first token is no target. The last row is padded. Id 7 is in the model's vocabulary but not in the tokenizer's.
TEST_F(BitsPerByte, CountTheBytesOfTheTargetsOnly) {
  DataConfig config;
  config.validation = {write("v.bin", llmc({2, 0, 1, 2, 4, 3, 3, 7, 2, 1, 4, 1}))};
  const ValidationSet set(config, 8, 8, 1000);
  const int64_t bytes = 1 + 2 + 4 + 0 + 3 + 3 + 0 + 4 + 2 + 0 + 2;
  EXPECT_EQ(set.targets(), 11);
  EXPECT_EQ(text_of_targets(set, PieceTokenizer()).bytes, bytes);
  EXPECT_EQ(text_of_targets(set, PieceTokenizer()).unknown, 1);
  const ValidationLosses losses = validation_losses(set, std::vector<double>{12, 21});
  EXPECT_DOUBLE_EQ(bits_per_byte(losses, bytes), 33 / std::log(2.0) / 21);
  // Only the first row of 8 targets.
  EXPECT_EQ(text_of_targets(ValidationSet(config, 8, 8, 8), PieceTokenizer()).bytes, 17);
}

}  // namespace
}  // namespace rowan

// Tests allocation, zeroing, and copies between dtypes.
#include <cmath>
#include <cstdint>
#include <limits>

#include "suite.h"

namespace rowan::test {
namespace {

TEST(Memory, IsZeroedAlignedAndUsable) {
  for (size_t bytes : {size_t{1}, size_t{100}, size_t{5} << 20}) {
    void* memory = backend().allocate(bytes, Category::weights);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % 64, 0u);
    Tensor tensor(memory, DType::f32, {static_cast<int64_t>(bytes / 4)});
    std::vector<float> values(bytes / 4, 1.0f);
    if (!values.empty()) {
      backend().download(values.data(), tensor);
      for (float v : values) ASSERT_EQ(v, 0.0f);
    }
    backend().release(memory);
  }
}

TEST(Memory, RefusesWhatNoMachineHas) {
  std::string message = error_of([] { backend().allocate(size_t{1} << 60, Category::activations); });
  EXPECT_NE(message.find("activations"), std::string::npos) << message;
  EXPECT_NE(message.find(std::to_string(size_t{1} << 60)), std::string::npos) << message;
}

TEST(Memory, ZeroClears) {
  Buffer x(DType::f32, {3, 37}, 1);
  backend().zero(x);
  EXPECT_EQ(x.read(), Doubles(111, 0.0));
}

TEST(Memory, CopyConverts) {
  for (int64_t count : {1, 15, 16, 333}) {
    Buffer wide(DType::f32, {count}, 2), narrow(DType::bf16, {count}), again(DType::f32, {count}),
        same(DType::f32, {count});
    backend().copy(narrow, wide);
    backend().copy(again, narrow);
    backend().copy(same, wide);
    EXPECT_EQ(same.read(), wide.given());
    Doubles want = wide.given();
    for (double& v : want) v = rounded(v, DType::bf16);
    EXPECT_EQ(narrow.read(), want);
    EXPECT_EQ(again.read(), want);
  }
}

// Ties are rounded to even, overflow becomes infinity, and infinities and NaNs are kept.
TEST(Memory, CopyRoundsAsIeee) {
  double infinity = std::numeric_limits<double>::infinity();
  Doubles values = {1.00390625, 1.01171875, 3.4e38, -3.4e38, infinity, -infinity, std::nan(""), 1e-40, -0.0};
  Buffer wide(DType::f32, {9}, values), narrow(DType::bf16, {9});
  backend().copy(narrow, wide);
  Doubles got = narrow.read();
  EXPECT_EQ(got[0], 1.0);
  EXPECT_EQ(got[1], 1.015625);
  EXPECT_EQ(got[2], infinity);
  EXPECT_EQ(got[3], -infinity);
  EXPECT_EQ(got[4], infinity);
  EXPECT_EQ(got[5], -infinity);
  EXPECT_TRUE(std::isnan(got[6]));
  EXPECT_EQ(got[7], 0x1p-133);  // the smallest positive bf16 value
  EXPECT_TRUE(std::signbit(got[8]));
}

}  // namespace
}  // namespace rowan::test

// gather_tensors() returns each tensor whole, on exactly one rank.
#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "kernels/arena.h"
#include "ranks.h"
#include "sharding/gather_tensors.h"

namespace rowan {
namespace {

TEST(GatherTensors, EveryTensorComesTogetherOnOneRank) {
  Arena memory(backend(), Category::data);
  const int n = ranks().size(), rank = ranks().rank();
  std::vector<float> everywhere(6, 1.5f), owned = {0, 1, 2, 3}, cut(100 * 3), dealt(30 * n);
  for (int i = 0; i < 300; ++i) cut[i] = static_cast<float>(i);
  for (int i = 0; i < 30 * n; ++i) dealt[i] = static_cast<float>(i);
  Range range = equal_part(300, n, rank);
  auto tensor = [&](std::vector<float>& x, int64_t begin, int64_t count) {
    Tensor held = memory.take(DType::f32, {count});
    backend().upload(held, x.data() + begin);
    return held;
  };
  std::vector<TensorPart> mine = {{"everywhere", {2, 3}, 0, tensor(everywhere, 0, 6)},
                                  {"cut", {100, 3}, range.begin, tensor(cut, range.begin, range.end - range.begin)}};
  // Each rank has two parts of different lengths. With several ranks, the two are not adjacent.
  mine.push_back({"dealt", {30 * n}, rank * 10, tensor(dealt, rank * 10, 10)});
  mine.push_back({"dealt", {30 * n}, n * 10 + rank * 20, tensor(dealt, n * 10 + rank * 20, 20)});
  if (rank == n - 1) mine.push_back({"owned", {4}, 0, tensor(owned, 0, 4)});

  std::set<std::string> names;
  for (const WholeTensor& whole : gather_tensors(ranks(), backend(), mine)) {
    names.insert(whole.name);
    const std::vector<float>& want = whole.name == "cut"     ? cut
                                     : whole.name == "dealt" ? dealt
                                     : whole.name == "owned" ? owned
                                                             : everywhere;
    std::vector<float> got(want.size());
    if (whole.bytes.empty()) {
      backend().download(got.data(), whole.tensor);
    } else {
      ASSERT_EQ(whole.bytes.size(), got.size() * sizeof(float));
      std::memcpy(got.data(), whole.bytes.data(), whole.bytes.size());
    }
    EXPECT_EQ(got, want) << whole.name;
    EXPECT_EQ(whole.shape, whole.name == "cut" ? (std::vector<int64_t>{100, 3}) : whole.shape);
  }
  std::vector<double> counts;
  for (const char* name : {"everywhere", "cut", "dealt", "owned"}) counts.push_back(names.contains(name));
  EXPECT_EQ(ranks().sum(counts), (std::vector<double>{1, 1, 1, 1}));
}

}  // namespace
}  // namespace rowan

// Tests matrix products that several ranks choose by timing. On each rank another algorithm of the stand-in for
// cuBLASLt is the fastest, and algorithms add in different orders. Ranks meet the products in different orders, and one
// product is met on one rank only.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "emulation/fixed_product.h"
#include "emulation/runtime.h"
#include "kernels/arena.h"
#include "kernels/backend.h"
#include "ranks.h"
#include "train/timed_products.h"
#include "train/trainer.h"

namespace rowan {
namespace {

class TimedProductsOfRanks : public testing::Test {
 protected:
  TimedProductsOfRanks()
      : folder_(std::filesystem::temp_directory_path() / ("products" + ranks().gather(std::to_string(getpid()))[0])) {
    if (ranks().rank() == 0) std::filesystem::create_directories(folder_);
    ranks().barrier();
  }
  ~TimedProductsOfRanks() override {
    emulation::make_fastest(-1);
    emulation::make_slow(emulation::Slow::none);
    ranks().barrier();
    if (ranks().rank() == 0) std::filesystem::remove_all(folder_);
  }

  // The product when this algorithm is the fastest and is used at once.
  std::vector<float> product_by(int algorithm, int64_t rows) const {
    emulation::make_fastest(algorithm);
    auto backend = make_cuda_backend(0);
    backend->time_products(folder_ / fmt::format("alone{}_{}_{}.json", ranks().rank(), algorithm, rows));
    return fixed_product(*backend, rows);
  }

  const std::filesystem::path folder_, file_ = folder_ / "products.json";
};

TEST_F(TimedProductsOfRanks, AreTheSameOnAllRanksAndAfterAResume) {
  const int last = ranks().size() - 1;
  std::vector<std::vector<float>> heuristic, want;
  for (int64_t rows : {4, 5, 6}) {
    auto backend = make_cuda_backend(0);
    heuristic.push_back(fixed_product(*backend, rows));
    want.push_back(product_by(rows == 6 ? 3 + last : 3, rows));  // only the last rank meets the third product
    EXPECT_NE(want.back(), heuristic.back());
  }
  emulation::make_fastest(3 + ranks().rank());
  {
    auto backend = make_cuda_backend(0);
    TimedProducts timed(*backend, ranks(), file_);
    if (ranks().rank() == last) {
      EXPECT_EQ(fixed_product(*backend, 6), heuristic[2]);
      EXPECT_EQ(fixed_product(*backend, 5), heuristic[1]);
    }
    EXPECT_EQ(fixed_product(*backend, 4), heuristic[0]);
    EXPECT_EQ(fixed_product(*backend, 5), heuristic[1]);
    EXPECT_FALSE(std::filesystem::exists(file_));
    timed.after_step();
    for (int i : {0, 1, 2}) EXPECT_EQ(fixed_product(*backend, 4 + i), want[i]) << i;
    timed.after_step();
    EXPECT_EQ(fixed_product(*backend, 7), fixed_product(*make_cuda_backend(0), 7)) << "met after the first step";
  }
  emulation::make_fastest(2);
  auto resumed = make_cuda_backend(0);
  TimedProducts timed(*resumed, ranks(), file_);
  for (int i : {0, 1, 2}) EXPECT_EQ(fixed_product(*resumed, 4 + i), want[i]) << i;
  EXPECT_EQ(fixed_product(*resumed, 7), fixed_product(*make_cuda_backend(0), 7));
  timed.after_step();
}

// Every rank updates all weights, so ranks with different algorithms would get different weights.
TEST_F(TimedProductsOfRanks, LeaveTheWeightsOfAllRanksEqual) {
  if (ranks().rank() == 0) {
    std::ofstream file(folder_ / "train.bin", std::ios::binary);
    for (uint32_t i = 0; i < 1000; ++i) file << static_cast<char>(i * i % 31) << '\0';
    std::ofstream(folder_ / "config.json")
        << Json{{"model",
                 {{"model_type", "llama"},
                  {"hidden_size", 40},
                  {"num_hidden_layers", 2},
                  {"num_attention_heads", 2},
                  {"intermediate_size", 56},
                  {"vocab_size", 32},
                  {"max_position_embeddings", 8}}},
                {"data", {{"train", (folder_ / "train.bin").string()}, {"format", "nanogpt"}, {"width", 2}}},
                {"batch", {{"sequences", 2 * ranks().size()}, {"sequence_length", 8}, {"micro_batch", 1}}},
                {"optimizer", {{"name", "muon"}, {"lr", 3e-3}}},
                {"precision", "fp32"},
                {"run", {{"dir", (folder_ / "run").string()}, {"steps", 3}}}};
  }
  ranks().barrier();
  emulation::make_fastest(3 + ranks().rank());
  TimedProducts timed(backend(), ranks(), file_);
  Trainer trainer(load_config(folder_ / "config.json", {}), backend(), ranks());
  for (int step = 0; step < 3; ++step) {
    trainer.step();
    timed.after_step();
    trainer.check_weights();
  }
  EXPECT_TRUE(std::filesystem::exists(file_));
}

// Only on rank 0, a product and a pass that adds the bias are faster than a product with the bias in its epilogue.
TEST_F(TimedProductsOfRanks, LeaveOutTheSameEpilogues) {
  using emulation::Slow;
  auto kernels = [](Backend& device) {
    Arena arena(device, Category::workspace);
    Tensor in = arena.take(DType::bf16, {8, 8}), out = arena.take(DType::bf16, {8, 8}),
           weight = arena.take(DType::bf16, {8, 8}), bias = arena.take(DType::bf16, {8});
    const int64_t before = emulation::counts().kernels;
    device.linear_forward(out, in, weight, bias);
    return emulation::counts().kernels - before;
  };
  emulation::make_slow(ranks().rank() == 0 ? Slow::with_epilogue : Slow::without);
  {
    auto backend = make_cuda_backend(0);
    TimedProducts timed(*backend, ranks(), file_);
    kernels(*backend);
    timed.after_step();
    EXPECT_EQ(kernels(*backend), 1);
  }
  emulation::make_slow(Slow::without);
  auto resumed = make_cuda_backend(0);
  TimedProducts timed(*resumed, ranks(), file_);
  EXPECT_EQ(kernels(*resumed), 1);
}

TEST_F(TimedProductsOfRanks, OfADamagedFileAreRefused) {
  if (ranks().size() == 1) GTEST_SKIP();
  if (ranks().rank() == 0) write_file_atomically(file_, "{");
  ranks().barrier();
  auto backend = make_cuda_backend(0);
  std::string message;
  try {
    TimedProducts timed(*backend, ranks(), file_);
  } catch (const Error& error) {
    message = error.what();
  }
  EXPECT_NE(message.find(file_.string() + ":"), std::string::npos) << message;
}

}  // namespace
}  // namespace rowan

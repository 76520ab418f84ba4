// Tests matrix products whose algorithm is chosen by timing. The stand-in for cuBLASLt has eight algorithms that add in
// different orders. A test sets which algorithm is the fastest. Also tests that the CPU refuses to time products.
#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "emulation/fixed_product.h"
#include "emulation/runtime.h"
#include "kernels/arena.h"
#include "kernels/backend.h"
#include "temporary_folder.h"

namespace rowan {
namespace {

class TimedProducts : public testing::Test {
 protected:
  ~TimedProducts() override { emulation::make_fastest(-1); }

  // fixed_product() on a new backend, as in a new process.
  std::vector<float> product(const std::string& file) {
    auto backend = make_cuda_backend(0);
    if (!file.empty()) backend->time_products(file);
    return fixed_product(*backend, 4);
  }

  TemporaryFolder folder_;
  const std::string file_ = folder_ / "products.json";
};

// The file's choice is used even if another algorithm is the fastest, so a continued run keeps its algorithms.
TEST_F(TimedProducts, AreKeptInTheFile) {
  const std::vector<float> first_answer = product("");
  emulation::make_fastest(3);
  const std::vector<float> third = product(file_);
  EXPECT_NE(third, first_answer);
  emulation::make_fastest(5);
  EXPECT_EQ(product(file_), third);
  const std::vector<float> fifth = product(folder_ / "other.json");
  EXPECT_NE(fifth, third);
  EXPECT_EQ(product(folder_ / "other.json"), fifth);
  for (size_t i = 0; i < third.size(); ++i) EXPECT_NEAR(third[i], first_answer[i], 1e-5);
}

TEST_F(TimedProducts, AreKeptInAFileWithoutAFolder) {
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder_ / "");
  product("here.json");
  std::filesystem::current_path(before);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "here.json"));
}

// Timing runs each algorithm several times, but the product must be added to the gradient only once.
TEST_F(TimedProducts, LeaveAResultThatIsAddedTo) {
  emulation::make_fastest(2);
  auto backend = make_cuda_backend(0);
  backend->time_products(file_);
  Arena arena(*backend, Category::workspace);
  Tensor one = arena.take(DType::f32, {1, 1}), sum = arena.take(DType::f32, {1, 1});
  const float three = 3, five = 5;
  backend->upload(one, &three);
  backend->upload(sum, &five);
  backend->linear_backward_weight(sum, Tensor(), one, one, true);
  float got;
  backend->download(&got, sum);
  EXPECT_EQ(got, 14);
}

TEST_F(TimedProducts, OfAnotherDeviceAreChosenAnew) {
  emulation::make_fastest(3);
  const std::vector<float> third = product(file_);
  std::string text = read_file(file_);
  text.replace(text.find("cuBLASLt 130000"), 15, "cuBLASLt 120000");
  write_file_atomically(file_, text);
  emulation::make_fastest(5);
  EXPECT_NE(product(file_), third);
  EXPECT_NE(read_file(file_).find("cuBLASLt 130000"), std::string::npos);
}

TEST_F(TimedProducts, OfADamagedFileAreRefused) {
  emulation::make_fastest(3);
  product(file_);
  std::string text = read_file(file_);
  text.erase(text.rfind('0'), 1);
  write_file_atomically(file_, text);
  std::string message = "no error";
  try {
    product(file_);
  } catch (const Error& error) {
    message = error.what();
  }
  EXPECT_NE(message.find(file_ + ":"), std::string::npos) << message;
  EXPECT_NE(message.find("expected 128 hexadecimal digits"), std::string::npos) << message;
}

TEST(TimedProductsElsewhere, AreRefused) {
  auto backend = make_cpu_backend(1);
  std::string message;
  try {
    backend->time_products("products.json");
  } catch (const Error& error) {
    message = error.what();
  }
  EXPECT_EQ(message, "products: found \"timed\", expected \"heuristic\", because the device is \"cpu\"");
}

}  // namespace
}  // namespace rowan

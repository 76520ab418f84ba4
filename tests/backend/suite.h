// Declares the helpers of the test suite that the CPU backend and the CUDA backend must pass. The tests compare
// operations with float64 references that follow the formulas of kernels/backend.h. Tests access device memory only
// through the Backend. A program that compiles the test_*.cpp files of this folder defines make_backend_under_test().
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace rowan::test {

std::unique_ptr<Backend> make_backend_under_test();

using Doubles = std::vector<double>;

// The backend under test, shared by all tests of the program.
Backend& backend();

// A tensor on the device, and its initial values as doubles, rounded to the dtype of the tensor.
class Buffer {
 public:
  // Zeros.
  Buffer(DType dtype, std::initializer_list<int64_t> shape);
  // Normally distributed values times `scale`, from the random stream `seed`.
  Buffer(DType dtype, std::initializer_list<int64_t> shape, uint64_t seed, double scale = 1.0);
  Buffer(DType dtype, std::initializer_list<int64_t> shape, const Doubles& values);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  operator Tensor() const { return tensor_; }
  const Tensor& tensor() const { return tensor_; }
  const Doubles& given() const { return given_; }
  Doubles read() const;

 private:
  void write(const Doubles& values);

  Tensor tensor_;
  Doubles given_;
};

Doubles random_values(int64_t count, uint64_t seed, double scale = 1.0);
double rounded(double value, DType dtype);

// Expects |got - want| <= tolerance * (|want| + the largest |want|) for each element. A tolerance of 0 means the
// default, which suits sums in fp32 and one rounding of the result: 1e-5, or 1e-2 for bf16.
void expect_close(const Doubles& got, const Doubles& want, DType dtype, const std::string& what, double tolerance = 0);

// The gradient of sum(weights * f(x)) with respect to x, by central differences in float64.
Doubles numeric_gradient(const std::function<Doubles(const Doubles&)>& f, const Doubles& x, const Doubles& weights);

// a + b, element by element.
Doubles plus(const Doubles& a, const Doubles& b);

// The message of the Error that `fn` throws. The test fails if `fn` throws none.
std::string error_of(const std::function<void()>& fn);

// Runs each test in fp32 and in bf16.
class Ops : public testing::TestWithParam<DType> {
 protected:
  DType dtype() const { return GetParam(); }
};

#define ROWAN_OVER_DTYPES(suite)                                                    \
  INSTANTIATE_TEST_SUITE_P(dtypes, suite, testing::Values(DType::f32, DType::bf16), \
                           [](const testing::TestParamInfo<DType>& info) { return std::string(name_of(info.param)); })

}  // namespace rowan::test

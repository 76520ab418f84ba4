#include "suite.h"

#include <cmath>

#include "base/error.h"
#include "base/random.h"

namespace rowan::test {

Backend& backend() {
  static std::unique_ptr<Backend> shared = make_backend_under_test();
  return *shared;
}

double rounded(double value, DType dtype) {
  float narrow = static_cast<float>(value);
  if (dtype == DType::bf16) narrow = to_float(to_bf16(narrow));
  return static_cast<double>(narrow);
}

Buffer::Buffer(DType dtype, std::initializer_list<int64_t> shape) {
  static char shape_only;
  tensor_ = Tensor(&shape_only, dtype, shape);
  tensor_.data = backend().allocate(tensor_.bytes(), Category::workspace);
  given_.assign(static_cast<size_t>(tensor_.numel()), 0.0);
}

Buffer::Buffer(DType dtype, std::initializer_list<int64_t> shape, uint64_t seed, double scale) : Buffer(dtype, shape) {
  write(random_values(tensor_.numel(), seed, scale));
}

Buffer::Buffer(DType dtype, std::initializer_list<int64_t> shape, const Doubles& values) : Buffer(dtype, shape) {
  write(values);
}

Buffer::~Buffer() { backend().release(tensor_.data); }

void Buffer::write(const Doubles& values) {
  if (values.size() != given_.size())
    fail("buffer: found {} values, expected the number of elements of {}", values.size(), tensor_.describe());
  std::vector<unsigned char> bytes(tensor_.bytes());
  for (size_t i = 0; i < values.size(); ++i) {
    if (tensor_.dtype == DType::i32) {
      reinterpret_cast<int32_t*>(bytes.data())[i] = static_cast<int32_t>(values[i]);
      given_[i] = values[i];
    } else if (tensor_.dtype == DType::bf16) {
      reinterpret_cast<bf16*>(bytes.data())[i] = to_bf16(static_cast<float>(values[i]));
      given_[i] = rounded(values[i], DType::bf16);
    } else {
      reinterpret_cast<float*>(bytes.data())[i] = static_cast<float>(values[i]);
      given_[i] = rounded(values[i], DType::f32);
    }
  }
  backend().upload(tensor_, bytes.data());
}

Doubles Buffer::read() const {
  std::vector<unsigned char> bytes(tensor_.bytes());
  backend().download(bytes.data(), tensor_);
  Doubles values(given_.size());
  for (size_t i = 0; i < values.size(); ++i) {
    if (tensor_.dtype == DType::i32)
      values[i] = reinterpret_cast<const int32_t*>(bytes.data())[i];
    else if (tensor_.dtype == DType::bf16)
      values[i] = static_cast<double>(to_float(reinterpret_cast<const bf16*>(bytes.data())[i]));
    else
      values[i] = static_cast<double>(reinterpret_cast<const float*>(bytes.data())[i]);
  }
  return values;
}

Doubles random_values(int64_t count, uint64_t seed, double scale) {
  Random random(20240229, seed);
  Doubles values(static_cast<size_t>(count));
  for (double& v : values) v = scale * random.normal();
  return values;
}

void expect_close(const Doubles& got, const Doubles& want, DType dtype, const std::string& what, double tolerance) {
  if (tolerance == 0) tolerance = dtype == DType::bf16 ? 1e-2 : 1e-5;
  ASSERT_EQ(got.size(), want.size()) << what;
  double largest = 0;
  for (double w : want) largest = std::max(largest, std::fabs(w));
  for (size_t i = 0; i < got.size(); ++i) {
    double allowed = tolerance * (std::fabs(want[i]) + largest) + 1e-30;
    ASSERT_TRUE(std::fabs(got[i] - want[i]) <= allowed)
        << what << "[" << i << "] is " << got[i] << ", want " << want[i] << " +- " << allowed;
  }
}

Doubles numeric_gradient(const std::function<Doubles(const Doubles&)>& f, const Doubles& x, const Doubles& weights) {
  auto value = [&](const Doubles& at) {
    Doubles out = f(at);
    double total = 0;
    for (size_t i = 0; i < out.size(); ++i) total += weights[i] * out[i];
    return total;
  };
  Doubles gradient(x.size()), moved = x;
  for (size_t i = 0; i < x.size(); ++i) {
    double step = 1e-5 * std::max(1.0, std::fabs(x[i]));
    moved[i] = x[i] + step;
    double above = value(moved);
    moved[i] = x[i] - step;
    gradient[i] = (above - value(moved)) / (2 * step);
    moved[i] = x[i];
  }
  return gradient;
}

Doubles plus(const Doubles& a, const Doubles& b) {
  Doubles sum = a;
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += b[i];
  return sum;
}

std::string error_of(const std::function<void()>& fn) {
  try {
    fn();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "no error was thrown";
  return "";
}

}  // namespace rowan::test

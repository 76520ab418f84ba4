#include "kernels/ceiling.h"

#include <algorithm>
#include <chrono>

#include "kernels/arena.h"

namespace rowan {

double median_seconds(Backend& backend, int repeats, const std::function<void()>& work) {
  std::vector<double> seconds;
  for (int i = 0; i <= repeats; ++i) {
    backend.synchronize();
    auto start = std::chrono::steady_clock::now();
    work();
    backend.synchronize();
    if (i > 0) seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + repeats / 2, seconds.end());
  return seconds[repeats / 2];
}

double square_product_rate(Backend& backend, DType dtype, int64_t n) {
  Arena arena(backend, Category::workspace);
  Tensor a = arena.take(dtype, {n, n}), b = arena.take(dtype, {n, n}), c = arena.take(dtype, {n, n});
  double seconds = median_seconds(backend, 5, [&] { backend.matmul(c, a, false, b, false, 1, 0); });
  return 2.0 * static_cast<double>(n * n * n) / seconds;
}

double copy_rate(Backend& backend, size_t bytes) {
  Arena arena(backend, Category::workspace);
  const auto n = static_cast<int64_t>(bytes / 4);
  Tensor from = arena.take(DType::f32, {n}), to = arena.take(DType::f32, {n});
  return 2.0 * static_cast<double>(bytes) / median_seconds(backend, 5, [&] { backend.copy(to, from); });
}

}  // namespace rowan

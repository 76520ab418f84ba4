#include "kernels/ceiling.h"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstring>

#include "base/random.h"
#include "kernels/arena.h"
#include "kernels/backend.h"
#include "kernels/floats.h"

namespace rowan {

namespace {

// Seconds of `repeats` runs after one warm-up run, in ascending order.
std::vector<double> sorted_seconds(Backend& backend, int repeats, const std::function<void()>& work) {
  std::vector<double> seconds;
  for (int i = 0; i <= repeats; ++i) {
    const double once = seconds_of(backend, work);
    if (i > 0) seconds.push_back(once);
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds;
}

}  // namespace

double seconds_of(Backend& backend, const std::function<void()>& work) {
  backend.synchronize();
  const auto start = std::chrono::steady_clock::now();
  work();
  backend.synchronize();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median_seconds(Backend& backend, int repeats, const std::function<void()>& work) {
  return sorted_seconds(backend, repeats, work)[static_cast<size_t>(repeats / 2)];
}

void fill_random(Backend& backend, Tensor x) {
  const int64_t n = x.numel();
  std::vector<float> values(static_cast<size_t>(std::min<int64_t>(n, 1 << 16)));
  Random random(1, 0);
  for (float& value : values) value = static_cast<float>(random.normal());
  if (n == 0) return;
  const Tensor all = x.view({n});
  int64_t filled = static_cast<int64_t>(values.size());
  upload_floats(backend, all.slice(0, filled), values.data());
  for (int64_t count; filled < n; filled += count) {
    count = std::min(filled, n - filled);
    backend.copy(all.slice(filled, count), all.slice(0, count));
  }
}

double square_product_rate(Backend& backend, DType dtype, int64_t n) {
  if (n == 0) n = backend.host_memory() ? 2048 : 8192;
  Arena arena(backend, Category::workspace);
  Tensor a = arena.take(dtype, {n, n}), b = arena.take(dtype, {n, n}), c = arena.take(dtype, {n, n});
  fill_random(backend, a);
  fill_random(backend, b);
  // Takes the fastest run, because other processes can only slow a product down.
  double seconds = sorted_seconds(backend, 10, [&] { backend.matmul(c, a, b); })[0];
  return 2.0 * static_cast<double>(n * n * n) / seconds;
}

std::optional<double> published_product_rate(const std::string& description, DType dtype) {
  // bf16 TFLOP/s without sparsity, from NVIDIA's data sheets. Longer names come before names that they contain.
  static constexpr std::pair<const char*, double> devices[] = {
      {"GB200", 2500},  {"B200", 2250},  {"H100 PCIe", 756}, {"H100 NVL", 835}, {"H100", 989.4},
      {"GH200", 989.4}, {"H200", 989.4}, {"A100", 312},      {"L40S", 362},     {"RTX 4090", 165.2}};
  if (dtype != DType::bf16) return {};
  for (const auto& [name, rate] : devices) {
    const size_t at = description.find(name), end = at + std::strlen(name);
    const bool word = at != std::string::npos &&
                      (at == 0 || !std::isalnum(static_cast<unsigned char>(description[at - 1]))) &&
                      (end == description.size() || !std::isalnum(static_cast<unsigned char>(description[end])));
    if (word) return rate * 1e12;
  }
  return {};
}

double peak_product_rate(Backend& backend, DType dtype) {
  const auto published = published_product_rate(backend.describe(), dtype);
  return published ? *published : square_product_rate(backend, dtype);
}

double copy_rate(Backend& backend, size_t bytes) {
  // At the default size, the launch and the synchronization of a GPU take a negligible part of the time.
  if (bytes == 0) bytes = size_t{1} << (backend.host_memory() ? 28 : 30);
  Arena arena(backend, Category::workspace);
  const auto n = static_cast<int64_t>(bytes / 4);
  Tensor from = arena.take(DType::f32, {n}), to = arena.take(DType::f32, {n});
  return 2.0 * static_cast<double>(bytes) / median_seconds(backend, 5, [&] { backend.copy(to, from); });
}

}  // namespace rowan

#include "tools/ceiling.h"

#include <algorithm>
#include <chrono>

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

double model_product_rate(Backend& backend, const ModelConfig& config, const ModelOptions& options) {
  const int64_t tokens = options.batch * options.seq;
  double flops = 0, seconds = 0;
  auto measure = [&](int64_t n, int64_t in, int64_t out, int64_t times) {
    Arena arena(backend, Category::workspace);
    Tensor x = arena.take(options.compute, {n, in}), y = arena.take(options.compute, {n, out});
    Tensor w = arena.take(options.compute, {out, in}), dw = arena.take(options.gradient, {out, in});
    const double count = static_cast<double>(times);
    seconds += count * median_seconds(backend, 3, [&] {
                 backend.linear_forward(y, x, w, Tensor());
                 backend.linear_backward_input(x, y, w, false);
                 backend.linear_backward_weight(dw, Tensor(), y, x);
               });
    flops += count * 6.0 * static_cast<double>(n) * static_cast<double>(in * out);
  };
  const AttentionShape shape = config.attention(options.batch, options.seq, 0);
  measure(tokens, config.hidden, shape.qkv_width(), config.layers);
  measure(tokens, shape.out_width(), config.hidden, config.layers);
  measure(tokens, config.hidden, config.mlp_in_width(), config.layers);
  measure(tokens, config.intermediate, config.hidden, config.layers);
  const int64_t rows = logit_chunk_rows(config, tokens, options.compute);
  measure(rows, config.hidden, config.vocabulary, (tokens + rows - 1) / rows);
  return flops / seconds;
}

double copy_rate(Backend& backend, size_t bytes) {
  Arena arena(backend, Category::workspace);
  const auto n = static_cast<int64_t>(bytes / 4);
  Tensor from = arena.take(DType::f32, {n}), to = arena.take(DType::f32, {n});
  return 2.0 * static_cast<double>(bytes) / median_seconds(backend, 5, [&] { backend.copy(to, from); });
}

}  // namespace rowan

#include "bench/model_products.h"

#include <algorithm>

#include "kernels/backend.h"
#include "kernels/ceiling.h"
#include "model/model.h"

namespace rowan {

ModelProducts::ModelProducts(Backend& backend, const ModelConfig& config, const ModelOptions& options)
    : backend_(backend), arena_(backend, Category::workspace) {
  struct Size {
    int64_t rows, in, out, times;
  };
  const int64_t tokens = options.batch * options.seq, chunk = logit_chunk_rows(config, tokens, options.compute);
  const AttentionShape shape = config.attention(options.batch, options.seq, 0);
  const Size sizes[] = {{tokens, config.hidden, shape.qkv_width(), config.layers},
                        {tokens, shape.out_width(), config.hidden, config.layers},
                        {tokens, config.hidden, config.mlp_in_width(), config.layers},
                        {tokens, config.intermediate, config.hidden, config.layers},
                        {chunk, config.hidden, config.logit_width(), (tokens + chunk - 1) / chunk}};
  int64_t in = 0, out = 0, weight = 0;
  for (const Size& s : sizes) {
    in = std::max(in, s.rows * s.in);
    out = std::max(out, s.rows * s.out);
    weight = std::max(weight, s.in * s.out);
  }
  // The layers share their operands. No product overwrites x or w, so the values stay as they are.
  const Tensor x = arena_.take(options.compute, {in}), dx = arena_.take(options.compute, {in}),
               y = arena_.take(options.compute, {out}), w = arena_.take(options.compute, {weight}),
               dw = arena_.take(options.gradient, {weight});
  fill_random(backend, x);
  fill_random(backend, w);
  auto part = [](const Tensor& of, int64_t rows, int64_t cols) { return of.slice(0, rows * cols).view({rows, cols}); };
  for (const Size& s : sizes)
    layers_.push_back({part(x, s.rows, s.in), part(y, s.rows, s.out), part(dx, s.rows, s.in), part(w, s.out, s.in),
                       part(dw, s.out, s.in), static_cast<double>(s.times)});
}

double ModelProducts::measure() {
  double flops = 0, seconds = 0;
  for (const Layer& l : layers_) {
    seconds += l.times * median_seconds(backend_, 1, [&] {
                 backend_.linear_forward(l.y, l.x, l.w, Tensor());
                 backend_.linear_backward_input(l.dx, l.y, l.w, false);
                 backend_.linear_backward_weight(l.dw, Tensor(), l.y, l.x, false);
               });
    flops += l.times * 6.0 * static_cast<double>(l.x.numel()) * static_cast<double>(l.y.cols());
  }
  return flops / seconds;
}

}  // namespace rowan

#include "kernels/backend.h"

namespace rowan {

const char* name_of(Category category) {
  static const char* const names[category_count] = {"weights",     "masters",   "gradients", "optimizer_state",
                                                    "activations", "workspace", "data"};
  return names[static_cast<int>(category)];
}

// What the rest is made of; a device that does better overrides it.
void Backend::repeat(uint64_t, const std::function<void()>& work) { work(); }
void Backend::matmul_add(Tensor c, Tensor source, Tensor a, bool transpose_a, Tensor b, bool transpose_b, float alpha,
                         float beta) {
  copy(c, source);
  matmul(c, a, transpose_a, b, transpose_b, alpha, beta);
}
void Backend::linear_gelu_forward(Gelu kind, Tensor out, Tensor pre, Tensor in, Tensor weight, Tensor bias) {
  linear_forward(pre, in, weight, bias);
  gelu_forward(kind, out, pre);
}
void Backend::linear_gelu_backward(Gelu kind, Tensor d_pre, Tensor dout, Tensor weight, Tensor pre) {
  linear_backward_input(d_pre, dout, weight, false);
  gelu_backward(kind, d_pre, d_pre, pre);
}

}  // namespace rowan

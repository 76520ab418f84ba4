// The tensors of one transformer block, bound once: weights, their gradients, kept activations.
#pragma once

#include "model/model.h"

namespace rowan {

struct Model::Block {
  struct Parameters {
    Tensor norm1, norm1_bias, qkv, qkv_bias, out, out_bias;  // [C], [W, C], [C, HD]
    Tensor norm2, norm2_bias, up, up_bias, down, down_bias;  // [C], [F or 2F, C], [C, F]
  } weight, d;

  Tensor x;                            // input of the block (the residual stream) [N, C]
  Tensor normed1, mean1, rstd1;        // [N, C], f32[N]
  Tensor qkv, attention, log_sum_exp;  // [N, W], [N, HD], f32[B, H, T]
  Tensor middle;                       // residual stream between attention and MLP [N, C]
  Tensor normed2, mean2, rstd2;
  Tensor up, inner;  // [N, F or 2F], [N, F]

  // The block as a pass over rows [begin, begin + count) sees it. Attention looks back to row 0.
  Block rows(int64_t begin, int64_t count) const {
    Block part = *this;
    for (Tensor* tensor : {&part.x, &part.normed1, &part.mean1, &part.rstd1, &part.middle, &part.normed2, &part.mean2,
                           &part.rstd2, &part.up, &part.inner})
      if (!tensor->empty()) *tensor = tensor->slice(begin, count);
    return part;
  }
};

}  // namespace rowan

// The tensors of one transformer block, bound once: weights, their gradients, and kept activations.
#pragma once

#include "model/model.h"

namespace rowan {

struct Model::Block {
  struct Linear {
    Tensor weight, bias, d_weight, d_bias;
  };

  NormLayer norm1;                // its input is the block's input, the residual stream
  Linear qkv;                     // [W, C]
  Tensor head_norm, d_head_norm;  // gains of query heads, then of key heads: [2 D]
  Tensor projected;  // [N, W]: output of the projection, before the norm of heads; same as qkv without such a norm
  Tensor attended_qkv, attention, log_sum_exp;  // inputs of attention [N, W], its output [N, HD], f32[B, H, T]
  Linear out;                                   // [C, HD]
  NormLayer norm2;                              // its input is the residual stream between attention and MLP
  Linear up, down;                              // [F or 2F, C], [C, F]
  Tensor wide, inner;                           // [N, F or 2F], [N, F]

  // The block restricted to rows [begin, begin + count); attention still reads from row 0.
  Block rows(int64_t begin, int64_t count) const {
    Block part = *this;
    part.norm1 = norm1.rows(begin, count);
    part.norm2 = norm2.rows(begin, count);
    part.wide = wide.slice(begin, count);
    part.inner = inner.slice(begin, count);
    return part;
  }
};

}  // namespace rowan

// The tensors of one transformer block, bound once: weights, their gradients, kept activations.
#pragma once

#include "model/model.h"

namespace rowan {

struct Model::Block {
  struct Linear {
    Tensor weight, bias, d_weight, d_bias;
  };

  NormLayer norm1;                              // its input is that of the block, the residual stream
  Linear qkv;                                   // [W, C]
  Tensor head_norm, d_head_norm;                // gains of queries, then of keys: [2 D]
  Tensor projected;                             // [N, W]: q and k before their norm; qkv where they have none
  Tensor attended_qkv, attention, log_sum_exp;  // as attention takes it [N, W], [N, HD], f32[B, H, T]
  Linear out;                                   // [C, HD]
  NormLayer norm2;                              // its input is the stream between attention and MLP
  Linear up, down;                              // [F or 2F, C], [C, F]
  Tensor wide, inner;                           // [N, F or 2F], [N, F]

  // The block as a pass over rows [begin, begin + count) sees it. Attention looks back to row 0.
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

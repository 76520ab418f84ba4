// The tensors of one transformer block, bound once: weights, their gradients, and kept activations.
// B sequences of T tokens make N tokens; C is the hidden size, H the number of query heads, D their size, W the width
// of q, k and v together, F the size of the MLP.
#pragma once

#include "model/model.h"

namespace rowan {

struct Model::Block {
  struct Linear {
    Tensor weight, bias, d_weight, d_bias;
  };

  NormLayer norm1;                // its input is the residual stream at the start of the block
  Linear qkv;                     // [W, C]
  Tensor head_norm, d_head_norm;  // [2 D]: the gains that all query heads share, then those of key heads
  Tensor projected;  // [N, W]: output of qkv, before the norm of heads; same as attended_qkv without such a norm
  Tensor attended_qkv, attention, log_sum_exp;  // attention's inputs [N, W], output [N, H D], statistics fp32[B, H, T]
  Linear out;                                   // [C, H D]
  NormLayer norm2;                              // its input is the residual stream between attention and MLP
  Linear up, down;                              // [F or 2F, C], [C, F]
  Tensor wide, inner;                           // output of up [N, F or 2F], input of down [N, F]

  // The block restricted to rows [begin, begin + count). The tensors of attention stay whole, because it reads all
  // rows.
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

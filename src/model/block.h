// The tensors of one transformer block: weights, their gradients, and the activations that the backward pass needs.
// B sequences of T tokens are N = B T tokens. C is the hidden size, H the number of query heads, D the size of a head,
// W the width of q, k and v together, F the intermediate size of the MLP.
#pragma once

#include "model/model.h"

namespace rowan {

struct Model::Block {
  NormLayer norm1;                // its input is the residual stream at the start of the block
  Linear qkv;                     // [W, C]
  Tensor head_norm, d_head_norm;  // [2 D]: gains that all query heads share, then gains that all key heads share
  Tensor projected;  // [N, W]: output of qkv, before the head norm; without a head norm, same as attended_qkv
  Tensor attended_qkv, attention, log_sum_exp;  // attention's input [N, W], output [N, H D], log-sum-exp fp32[B, H, T]
  Linear out;                                   // [C, H D]
  NormLayer norm2;                              // its input is the residual stream between attention and MLP
  Linear up, down;                              // [F or 2F, C], [C, F]
  Tensor wide, inner;                           // output of up [N, F or 2F], input of down [N, F]

  // The block restricted to rows [begin, begin + count). attended_qkv, attention and log_sum_exp stay whole, because
  // attention covers rows [0, begin + count). projected stays whole too; forward_qkv() selects the rows.
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

// Shape and dtype checks of every operation of Backend, shared by its implementations. Each takes the tensors of the
// operation of its name and throws Error: "linear_forward: weight is bf16[3, 4], must be bf16[3, 5]".
// C++17: CUDA sources include this header.
#pragma once

#include <vector>

#include "kernels/backend.h"

namespace rowan::check {

void upload(Tensor to);
void download(Tensor from);
void copy(Tensor to, Tensor from);
void zero(Tensor x);
void scale(Tensor x);
void add(Tensor y, Tensor x);
void clamp_forward(Tensor x, int64_t begin, int64_t end, float limit);
void clamp_backward(Tensor dx, Tensor x, int64_t begin, int64_t end, float limit);
void sum(Tensor out, Tensor x);
void sum_squares(Tensor out, const std::vector<Tensor>& xs);
void embedding_forward(Tensor out, Tensor tokens, Tensor table, Tensor positions, int64_t seq);
void embedding_backward(Tensor d_table, Tensor d_positions, Tensor dout, Tensor tokens, int64_t seq);
void norm_forward(Norm kind, Tensor out, Tensor sum, Tensor mean, Tensor rstd, Tensor residual, Tensor branch,
                  Tensor weight, Tensor bias);
void norm_backward(Norm kind, Tensor d_residual, Tensor d_weight, Tensor d_bias, Tensor dout, Tensor r, Tensor weight,
                   Tensor mean, Tensor rstd);
void linear_forward(Tensor out, Tensor in, Tensor weight, Tensor bias);
void linear_backward_input(Tensor din, Tensor dout, Tensor weight);
void linear_backward_weight(Tensor d_weight, Tensor d_bias, Tensor dout, Tensor in);
void matmul(Tensor c, Tensor a, bool transpose_a, Tensor b, bool transpose_b);
void rope(Tensor qkv, Tensor table, const AttentionShape& shape);
void attention_forward(Tensor out, Tensor log_sum_exp, Tensor qkv, const AttentionShape& shape);
void attention_backward(Tensor dqkv, Tensor dout, Tensor out, Tensor log_sum_exp, Tensor qkv,
                        const AttentionShape& shape);
void swiglu_forward(Tensor out, Tensor gate_up);
void swiglu_backward(Tensor d_gate_up, Tensor dout, Tensor gate_up);
void gelu_forward(Tensor out, Tensor in);
void gelu_backward(Tensor din, Tensor dout, Tensor in);
void cross_entropy(Tensor losses, Tensor logits, Tensor targets, int64_t vocabulary);

void adamw(const std::vector<OptimizerSlot>& slots);
void normalized_step(const std::vector<OptimizerSlot>& slots, const NormalizedStepRule& rule);
void momentum(Tensor update, const std::vector<OptimizerSlot>& slots);
void project(Tensor update, const std::vector<OptimizerSlot>& slots, const ProjectRule& rule);
void normalize(Tensor update);
void sign(Tensor update);
void sums_of_squares(Tensor out, const std::vector<Tensor>& matrices, Along along);
void adaptive_factors(Tensor factors, const std::vector<OptimizerSlot>& slots, Tensor update_sums, Tensor gradient_sums,
                      bool normuon);
void second_moment(Tensor update, const std::vector<OptimizerSlot>& slots);
void apply(Tensor update, const std::vector<OptimizerSlot>& slots, Tensor factors, Along along);

// Every id must be in [0, vocabulary), or -100 where `ignore` allows it; for backends whose memory the host reads.
void token_ids(const char* operation, const int32_t* ids, int64_t count, int64_t vocabulary, bool ignore);

}  // namespace rowan::check

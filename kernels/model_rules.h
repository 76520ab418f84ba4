// The shapes, rules and operands of Backend's operations. kernels/optimizer_rules.h has the rules of optimizer
// operations. C++17, because CUDA sources include this header.
#pragma once

#include <cstdint>

#include "base/enum_names.h"
#include "base/tensor.h"

namespace rowan {

enum class Norm : uint8_t { rms, layer };
// silu: x sigmoid(x). gelu_tanh: GELU by its tanh approximation. gelu_erf: exact GELU. relu_squared: max(x, 0)^2.
enum class Activation : uint8_t { silu, gelu_tanh, gelu_erf, relu_squared };
inline constexpr int activation_count = 4;

// Causal self-attention over packed projections. A row of qkv holds (heads + 2 * kv_heads) * head_dim values of one
// token: [q heads | k heads | v heads]. Query head h reads key/value head h / (heads / kv_heads).
struct AttentionShape {
  int64_t batch, seq, heads, kv_heads, head_dim;
  float scale;  // softmax(scale * q k^T)

  int64_t tokens() const { return batch * seq; }
  int64_t qkv_width() const { return (heads + 2 * kv_heads) * head_dim; }
  int64_t out_width() const { return heads * head_dim; }
};

// Which attention kernels a GPU runs. rowan: always Rowan's. cudnn: cuDNN's if the dtype is bf16, the shape was given
// to Backend::plan_attention(), and there are neither documents nor dropout; otherwise Rowan's.
enum class AttentionKernels : uint8_t { rowan, cudnn };
constexpr auto names_of(AttentionKernels) { return enum_names("rowan", "cudnn"); }

// Dropout: each element is zeroed with probability `rate`; the others are multiplied by 1 / (1 - rate). The random
// draws (kernels/dropout.h) are a function of seed, sample, site and the element's index within its sample.
struct Dropout {
  float rate = 0;
  uint64_t seed = 0;
  int64_t site = 0;  // identifies the place in the model; below 2^24
  Tensor samples;    // i32[batch, 2]: low and high word of each sequence's sample number; numbers are below 2^40
};

// How documents are separated in a row of tokens.
struct DocumentRule {
  int32_t end_token;
  bool opens;  // true: end_token is the first token of a document; false: end_token is the last token of a document
};

// What attention does beyond causal masking.
struct AttentionRule {
  Tensor documents;  // from find_documents(): a query sees only keys of its own document; absent: a row is one document
  Dropout dropout;   // applied to the softmax weights
  // For the backward: the table with which rope() rotated queries and keys. If it is present, the gradients of queries
  // and keys are the gradients with respect to their values before rope().
  Tensor rope = {};
};

// How logits are turned into losses.
struct LossRule {
  int64_t vocabulary;  // number of columns of the logits that enter the softmax; later columns are padding
  float softcap = 0;   // c: logits l become z = c l / sqrt(l^2 + c^2); 0: z = l
  float z_loss = 0;    // the gradient is that of loss + z_loss * log(sum of e^z)^2; `losses` leaves out the second term
};

// Arguments of Backend::norm_forward and norm_backward. A tensor that may be absent is empty by default.
struct NormForward {
  Norm kind = Norm::rms;
  Tensor out, sum = {}, mean = {}, rstd, residual, branch = {}, weight, bias = {};
  float eps = 1e-5f;
};
struct NormBackward {
  Norm kind = Norm::rms;
  Tensor d_residual, d_weight, d_bias = {}, dout, r, weight, mean = {}, rstd;
  bool accumulate = false;
};

// An operand of a matrix product: x, or x with its last two dimensions transposed.
struct Operand {
  Tensor x;
  bool transposed;

  Operand(Tensor x, bool transposed = false) : x(x), transposed(transposed) {}
  // Rows and columns after transposition.
  int64_t rows() const { return transposed ? x.cols() : before_last(); }
  int64_t cols() const { return transposed ? before_last() : x.cols(); }

 private:
  int64_t before_last() const { return x.rank < 2 ? 1 : x.dim(x.rank - 2); }
};

// What is known about the result of a matrix product. symmetric: the product is a symmetric matrix up to rounding
// errors, and so is the matrix that it is added to. The result is then computed on and below the diagonal only, and
// copied to the elements above it, so it is exactly symmetric.
enum class Result : uint8_t { any, symmetric };

}  // namespace rowan

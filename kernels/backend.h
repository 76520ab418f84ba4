// Backend: every operation a trainer needs, declared once. Implementations: kernels/cpu (the specification),
// kernels/cuda, kernels/dry (computes nothing, counts everything). C++17: CUDA sources include this header.
//
// Conventions
// * Tensors are contiguous, row-major views (base/tensor.h). An empty Tensor is an absent optional argument.
// * N = batch * seq tokens; C = hidden size; V = vocabulary. A linear weight is [out, in].
// * "f32|bf16" is the compute dtype; the activations and weights of one call share it unless said otherwise.
//   Everything accumulates in fp32 (or better) whatever the dtype of the operands.
// * Gradients of parameters are f32 or bf16 and are accumulated: d += ...; gradients of activations are written.
// * An operation checks shapes and dtypes (kernels/check.h) and throws Error naming the operation and the argument.
// * Calls are asynchronous in order on one stream; download() and synchronize() wait.
// * Same inputs, same bits: no float atomics.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/tensor.h"
#include "kernels/optimizer_rules.h"

namespace rowan {

// What memory is for; plans and out-of-memory messages speak of it.
enum class Category : uint8_t { weights, masters, gradients, optimizer_state, activations, workspace, data };
inline constexpr int category_count = 7;
const char* name_of(Category category);

enum class Norm : uint8_t { rms, layer };
enum class Gelu : uint8_t { tanh, erf };

// Causal self-attention over packed projections. A row of qkv is [q heads | k heads | v heads], each head_dim wide:
// (heads + 2 * kv_heads) * head_dim values a token. Query head h reads key/value head h / (heads / kv_heads).
struct AttentionShape {
  int64_t batch, seq, heads, kv_heads, head_dim;
  float scale;  // softmax(scale * q k^T)

  int64_t tokens() const { return batch * seq; }
  int64_t qkv_width() const { return (heads + 2 * kv_heads) * head_dim; }
  int64_t out_width() const { return heads * head_dim; }
};

// Whose attention kernels a GPU runs: our own, or NVIDIA's where the build has found them.
enum class AttentionKernels : uint8_t { rowan, cudnn };

// The most that a device takes. A model that needs more is refused before anything runs.
struct Limits {
  int64_t head_dim = INT64_MAX;    // of attention
  int64_t norm_width = INT64_MAX;  // values in a row that is normalized
  int64_t batch = INT64_MAX;       // sequences in a micro-batch
};

class Backend {
 public:
  virtual ~Backend() = default;

  // "cpu", "cuda" or "dry".
  virtual std::string name() const = 0;
  // For people: device model, threads or GPU, the instructions used.
  virtual std::string describe() const = 0;
  // The dtypes matrix products run fast in here; the trainer warns about others.
  virtual bool fast(DType dtype) const = 0;
  virtual Limits limits() const { return {}; }
  // True when tensors can be read and written by host code.
  virtual bool host_memory() const = 0;

  // --- memory -------------------------------------------------------------------------------------------------
  // Zeroed device memory, 64-byte aligned. Throws OutOfMemory naming the category and the size when there is none.
  virtual void* allocate(size_t bytes, Category category) = 0;
  virtual void release(void* memory) = 0;
  virtual void upload(Tensor to, const void* host) = 0;
  // Waits for all work before it.
  virtual void download(void* host, Tensor from) = 0;
  // Same number of elements; converts between f32 and bf16 (to nearest even).
  virtual void copy(Tensor to, Tensor from) = 0;
  virtual void zero(Tensor x) = 0;
  virtual void synchronize() = 0;
  // Runs `work`, which queues the same operations on the same memory whenever `key` is the same, and neither uploads,
  // downloads, allocates nor waits. A GPU may record it once and replay it: the same results with fewer calls.
  virtual void repeat(uint64_t key, const std::function<void()>& work);

  // --- elementwise and reductions -------------------------------------------------------------------------------
  // x *= factor.
  virtual void scale(Tensor x, float factor) = 0;
  // y += x, any mix of f32 and bf16.
  virtual void add(Tensor y, Tensor x) = 0;
  // x = min(max(x, -limit), limit) on columns [begin, end) of x [N, width]: GPT-2's qk_clip in RMNP's code.
  virtual void clamp_forward(Tensor x, int64_t begin, int64_t end, float limit) = 0;
  // dx = 0 where |x| >= limit, x being the clamped values, on the same columns.
  virtual void clamp_backward(Tensor dx, Tensor x, int64_t begin, int64_t end, float limit) = 0;
  // out f32[1] (+)= sum of x (f32).
  virtual void sum(Tensor out, Tensor x, bool accumulate) = 0;
  // out f32[1] = sum over all tensors of the squares of their elements; not finite when any element is not.
  virtual void sum_squares(Tensor out, const std::vector<Tensor>& xs) = 0;

  // --- embedding ------------------------------------------------------------------------------------------------
  // out[n] = table[tokens[n]] (+ positions[n mod seq]); tokens i32[N], out [N, C], table [V, C], positions [P, C].
  virtual void embedding_forward(Tensor out, Tensor tokens, Tensor table, Tensor positions, int64_t seq) = 0;
  // d_table[tokens[n]] += dout[n]; d_positions[n mod seq] += dout[n].
  virtual void embedding_backward(Tensor d_table, Tensor d_positions, Tensor dout, Tensor tokens, int64_t seq) = 0;

  // --- residual add and normalization ---------------------------------------------------------------------------
  // r = residual + branch (an empty branch: r = residual), out = normalize(r) * weight (+ bias), over the last axis.
  // rms: r / sqrt(mean(r^2) + eps). layer: (r - mean) / sqrt(var + eps). All [N, C]; weight, bias [C] of the compute
  // dtype; mean (layer only) and rstd f32[N] are kept for the backward. `sum` receives r and is empty with the branch.
  virtual void norm_forward(Norm kind, Tensor out, Tensor sum, Tensor mean, Tensor rstd, Tensor residual, Tensor branch,
                            Tensor weight, Tensor bias, float eps) = 0;
  // d_residual = (accumulate ? d_residual : 0) + gradient of r through the norm. d_weight, d_bias [C] accumulate.
  // r is what norm_forward normalized.
  virtual void norm_backward(Norm kind, Tensor d_residual, Tensor d_weight, Tensor d_bias, Tensor dout, Tensor r,
                             Tensor weight, Tensor mean, Tensor rstd, bool accumulate) = 0;

  // --- linear layers --------------------------------------------------------------------------------------------
  // out[N, O] = in[N, I] weight[O, I]^T (+ bias[O]).
  virtual void linear_forward(Tensor out, Tensor in, Tensor weight, Tensor bias) = 0;
  // din[N, I] = dout[N, O] weight[O, I] (+ din when accumulate).
  virtual void linear_backward_input(Tensor din, Tensor dout, Tensor weight, bool accumulate) = 0;
  // d_weight[O, I] += dout^T in; d_bias[O] += column sums of dout when present.
  virtual void linear_backward_weight(Tensor d_weight, Tensor d_bias, Tensor dout, Tensor in) = 0;
  // c = alpha op(a) op(b) + beta c for rank 2, or for each entry of the first dimension of rank 3; op transposes the
  // last two dimensions. a, b, c of one dtype. `c` must not overlap a or b.
  virtual void matmul(Tensor c, Tensor a, bool transpose_a, Tensor b, bool transpose_b, float alpha, float beta) = 0;
  // c = alpha op(a) op(b) + beta source: the same with another tensor of c's shape in c's place, which is only read.
  virtual void matmul_add(Tensor c, Tensor source, Tensor a, bool transpose_a, Tensor b, bool transpose_b, float alpha,
                          float beta);
  // pre = in weight^T (+ bias), out = gelu(pre): the two operations in one where a device has it. out [N, O].
  virtual void linear_gelu_forward(Gelu kind, Tensor out, Tensor pre, Tensor in, Tensor weight, Tensor bias);
  // d_pre[N, I] = (dout[N, O] weight[O, I]) * gelu'(pre).
  virtual void linear_gelu_backward(Gelu kind, Tensor d_pre, Tensor dout, Tensor weight, Tensor pre);

  // --- rotary positions -----------------------------------------------------------------------------------------
  // Rotates the first (heads + kv_heads) heads of each row of qkv in place: pair (i, i + head_dim/2) of token t by
  // angle t * theta^(-2i/head_dim) (the rotate-half layout of Hugging Face LLaMA); `inverse` rotates back, which is
  // also the backward. table f32[seq, head_dim] holds cos then sin of the head_dim/2 angles of each position.
  virtual void rope(Tensor qkv, Tensor table, const AttentionShape& shape, bool inverse) = 0;

  // --- attention ------------------------------------------------------------------------------------------------
  // out [N, heads * head_dim], log_sum_exp f32[batch, heads, seq] (kept for the backward), qkv [N, qkv_width].
  // Ours are blocked, with a streaming softmax: nothing of size seq x seq is stored (cuDNN's backward may).
  virtual void attention_forward(Tensor out, Tensor log_sum_exp, Tensor qkv, const AttentionShape& shape) = 0;
  virtual void attention_backward(Tensor dqkv, Tensor dout, Tensor out, Tensor log_sum_exp, Tensor qkv,
                                  const AttentionShape& shape) = 0;
  // Told before attention of this shape, whatever its scale, is asked for again and again: a device may plan it. Throws
  // Error when the chosen kernels do not take it.
  virtual void plan_attention(const AttentionShape& /*shape*/, DType /*dtype*/) {}

  // --- activation functions -------------------------------------------------------------------------------------
  // out[N, F] = silu(gate) * up, where a row of gate_up [N, 2F] is [gate | up].
  virtual void swiglu_forward(Tensor out, Tensor gate_up) = 0;
  virtual void swiglu_backward(Tensor d_gate_up, Tensor dout, Tensor gate_up) = 0;
  virtual void gelu_forward(Gelu kind, Tensor out, Tensor in) = 0;
  virtual void gelu_backward(Gelu kind, Tensor din, Tensor dout, Tensor in) = 0;

  // --- loss -----------------------------------------------------------------------------------------------------
  // losses f32[N] = -log softmax(logits[n])[targets[n]] in nats over the first `vocabulary` columns of logits [N,
  // width], 0 where targets[n] is -100. With `gradient`, logits are overwritten by grad_scale * (softmax - onehot),
  // rows with target -100 and the columns from `vocabulary` on by 0.
  virtual void cross_entropy(Tensor losses, Tensor logits, Tensor targets, int64_t vocabulary, float grad_scale,
                             bool gradient) = 0;

  // --- optimizers -----------------------------------------------------------------------------------------------
  // Formulas stand beside the rules in kernels/optimizer_rules.h. All slots of one call share their dtypes, and
  // either all have a master or none. Sums are taken in fp32 or better; zero rows and matrices give zero updates.
  // Slots of any size and shape.
  virtual void adamw(const std::vector<OptimizerSlot>& slots, const AdamWRule& rule) = 0;
  // Slots [out, in] of any shapes, each with its momentum buffer in `first`.
  virtual void normalized_step(const std::vector<OptimizerSlot>& slots, const NormalizedStepRule& rule) = 0;
  // update [n, out, in]: written from the gradients and buffers (`first`) of n slots of out * in elements.
  virtual void momentum(Tensor update, const std::vector<OptimizerSlot>& slots, const MomentumRule& rule) = 0;
  // update -= its part along the weights (masters where present).
  virtual void project(Tensor update, const std::vector<OptimizerSlot>& slots, const ProjectRule& rule) = 0;
  virtual void normalize(Tensor update, const NormalizeRule& rule) = 0;
  // update = -1, 0 or 1.
  virtual void sign(Tensor update) = 0;
  // out f32[n, k] = scale^2 * sums of squares of n matrices [out, in]: k = out (row), in (column) or 1 (matrix).
  virtual void sums_of_squares(Tensor out, const std::vector<Tensor>& matrices, Along along, float scale) = 0;
  // factors, update_sums, gradient_sums f32[n, k]; gradient_sums is empty for normuon.
  virtual void adaptive_factors(Tensor factors, const std::vector<OptimizerSlot>& slots, Tensor update_sums,
                                Tensor gradient_sums, const AdaptRule& rule) = 0;
  // v = beta v + (1 - beta) u^2, u /= sqrt(v) + eps, element by element; v is the slot's `second`.
  virtual void second_moment(Tensor update, const std::vector<OptimizerSlot>& slots, float beta, float eps) = 0;
  // The step itself. factors f32[n, k] along rule.along, or empty.
  virtual void apply(Tensor update, const std::vector<OptimizerSlot>& slots, Tensor factors, const ApplyRule& rule) = 0;
};

// The CPU backend; threads = 0 takes OMP_NUM_THREADS or every core of the process's affinity mask.
std::unique_ptr<Backend> make_cpu_backend(int threads = 0);
// The GPU `index`; throws Error when the build has no CUDA or not those kernels, or there is no driver or no such GPU.
std::unique_ptr<Backend> make_cuda_backend(int index, AttentionKernels attention = AttentionKernels::rowan);

}  // namespace rowan

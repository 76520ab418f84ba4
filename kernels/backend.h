// Backend: every operation a trainer needs, declared once. Callers see non-virtual functions, the only place where
// arguments are checked and calls are recorded (kernels/backend*.cpp). Behind each NAME a device implements do_NAME:
// kernels/cpu (the specification), kernels/cuda, and kernels/dry (computes nothing, counts everything). C++17, because
// CUDA sources include this header.
//
// Conventions
// * Tensors are contiguous, row-major views (base/tensor.h). An empty Tensor is an absent optional argument.
// * N = batch * seq tokens; C = hidden size; V = vocabulary. A linear weight is [out, in].
// * "f32|bf16" is the compute dtype; the activations and weights of one call share it unless said otherwise. Sums are
//   taken in fp32 or better whatever the dtype of the operands.
// * Gradients of parameters are f32 or bf16 and accumulate: d += ...; gradients of activations are overwritten.
// * The front checks shapes and dtypes and throws Error naming the operation and the argument.
// * Calls are asynchronous and run in order on one stream; download() and synchronize() wait.
// * Equal inputs give equal bits: no float atomics.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/enum_names.h"
#include "base/tensor.h"
#include "base/timeline.h"
#include "kernels/optimizer_rules.h"

namespace rowan {

// What memory is used for; plans and out-of-memory messages name the category.
enum class Category : uint8_t { weights, masters, gradients, optimizer_state, activations, workspace, data };
constexpr auto names_of(Category) {
  return enum_names("weights", "masters", "gradients", "optimizer_state", "activations", "workspace", "data");
}
inline constexpr int category_count = count_of<Category>;

enum class Norm : uint8_t { rms, layer };
// x sigmoid(x); GELU in its tanh form; GELU exactly; max(x, 0)^2.
enum class Activation : uint8_t { silu, gelu_tanh, gelu_erf, relu_squared };
inline constexpr int activation_count = 4;

// Causal self-attention over packed projections. A row of qkv is [q heads | k heads | v heads], each head head_dim
// wide: (heads + 2 * kv_heads) * head_dim values a token. Query head h reads key/value head h / (heads / kv_heads).
struct AttentionShape {
  int64_t batch, seq, heads, kv_heads, head_dim;
  float scale;  // softmax(scale * q k^T)

  int64_t tokens() const { return batch * seq; }
  int64_t qkv_width() const { return (heads + 2 * kv_heads) * head_dim; }
  int64_t out_width() const { return heads * head_dim; }
};

// Dropout: each element is zeroed with probability `rate`; the others are multiplied by 1 / (1 - rate). The draws
// (kernels/dropout.h) are a function of seed, sample, site and the element's number within its sample.
struct Dropout {
  float rate = 0;
  uint64_t seed = 0;
  int64_t site = 0;  // the place in the model, below 2^24
  Tensor samples;    // i32[batch, 2]: low and high word of each row's sample number, which is below 2^40
};

// How a document ends in a row of tokens.
struct DocumentRule {
  int32_t end_token;
  bool opens;  // true: the end token is the first of its document; false: the last
};

// What attention does beyond causal masking.
struct AttentionRule {
  Tensor documents;  // from find_documents(): queries see keys of their document only; absent: a row is one document
  Dropout dropout;   // applied to the softmax weights
};

// How logits are turned into losses.
struct LossRule {
  int64_t vocabulary;  // number of logits columns in the softmax; later columns are padding
  float softcap = 0;   // c: logits l become z = c l / sqrt(l^2 + c^2); 0: z = l
  float z_loss = 0;    // the gradient is that of loss + z_loss log(sum of e^z)^2
};

// Which attention kernels a GPU runs: our own, or cuDNN's if the build has it.
enum class AttentionKernels : uint8_t { rowan, cudnn };
constexpr auto names_of(AttentionKernels) { return enum_names("rowan", "cudnn"); }

// The limits of a device. A model beyond them is refused before anything runs.
struct Limits {
  int64_t head_dim = INT64_MAX;    // of an attention head
  int64_t norm_width = INT64_MAX;  // values in a row that is normalized
  int64_t batch = INT64_MAX;       // sequences in a micro-batch
};

// Arguments of Backend::norm_forward and norm_backward. Tensors that may be absent are empty by default.
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

class Backend;

// A recorded call of an operation, which can be run again on this Backend or another.
struct RecordedCall {
  std::string operation;  // with the options that select a kernel: "normalized_step row, project"
  std::string operands;   // dtypes and shapes, "-" if absent: "bf16[4096, 768] bf16[2304, 768] -"
  std::function<void(Backend&)> run;
};

class Backend {
 public:
  virtual ~Backend() = default;
  // Runs `work` and returns the operations it called, except transfers to and from the host.
  std::vector<RecordedCall> record(const std::function<void()>& work);
  // The timeline of the host thread. While it records, it contains every operation, and a GPU is waited for after each.
  Timeline& timeline() { return timeline_; }

  // "cpu", "cuda" or "dry".
  virtual std::string name() const = 0;
  // For the start page: device model, threads or GPU, and the instructions used.
  virtual std::string describe() const = 0;
  // Whether matrix products of this dtype are fast here; the trainer warns if not.
  virtual bool fast(DType dtype) const = 0;
  virtual Limits limits() const { return {}; }
  // Allows products of f32 tensors to round their operands to TF32, 10 bits of mantissa. Throws Error if the device has
  // no TF32.
  virtual void allow_tf32();
  // Why attention of this shape is slow here, in words; empty if it is not.
  virtual std::string slow_attention(const AttentionShape& /*shape*/, DType /*dtype*/) const { return ""; }
  // True if host code can read and write tensors.
  virtual bool host_memory() const = 0;

  // --- memory -------------------------------------------------------------------------------------------------
  // Returns zeroed device memory, 64-byte aligned. Throws OutOfMemory naming category and size if there is not enough.
  virtual void* allocate(size_t bytes, Category category) = 0;
  virtual void release(void* memory) = 0;
  void upload(Tensor to, const void* host);
  // Waits for all earlier work.
  void download(void* host, Tensor from);
  // `to` and `from` have the same number of elements. Converts between f32 and bf16 (round to nearest even).
  void copy(Tensor to, Tensor from);
  // to [b, a, c] = from [a, b, c] with the first two dimensions swapped; same dtype.
  void swap_axes(Tensor to, Tensor from);
  void zero(Tensor x);
  void synchronize();
  // Runs `work`. Each time owner and key are the same, `work` must queue the same operations on the same memory, and
  // must not upload, download, allocate or wait. A GPU may record it once and replay it: the same results with fewer
  // launches. `owner` identifies whose memory that is.
  void repeat(const void* owner, uint64_t key, const std::function<void()>& work);

  // --- elementwise and reductions -------------------------------------------------------------------------------
  // x *= factor.
  void scale(Tensor x, float factor);
  // y += x, any mix of f32 and bf16.
  void add(Tensor y, Tensor x);
  // y += weight * (x - y); y is f32, x is f32 or bf16.
  void lerp(Tensor y, Tensor x, float weight);
  // x = min(max(x, -limit), limit) on columns [begin, end) of x [N, width]: GPT-2's qk_clip in RMNP's code.
  void clamp_forward(Tensor x, int64_t begin, int64_t end, float limit);
  // dx = 0 where |x| >= limit, on the same columns; x holds the clamped values.
  void clamp_backward(Tensor dx, Tensor x, int64_t begin, int64_t end, float limit);
  // out f32[1] (+)= sum of x (f32).
  void sum(Tensor out, Tensor x, bool accumulate);
  // out f32[1] = sum of squares of all elements of all tensors; not finite if any element is not.
  void sum_squares(Tensor out, const std::vector<Tensor>& xs);

  // --- embedding ------------------------------------------------------------------------------------------------
  // out[n] = table[tokens[n]] (+ positions[p]), where p = position_ids[n], or n mod seq if they are absent. tokens
  // i32[N]; table [V, C]; positions [P, C]; position_ids i32[N], below P; out [N, C], f32 or of the tables' dtype.
  void embedding_forward(Tensor out, Tensor tokens, Tensor table, Tensor positions, int64_t seq,
                         Tensor position_ids = Tensor());
  // d_table[tokens[n]] += dout[n]; d_positions[n mod seq] += dout[n].
  void embedding_backward(Tensor d_table, Tensor d_positions, Tensor dout, Tensor tokens, int64_t seq);

  // --- documents ------------------------------------------------------------------------------------------------
  // tokens i32[N] lie in rows of `seq`; each row starts a document. documents i32[3, N] receives for each token the
  // position in its row where its document begins, the position after the document's last token, and the token's
  // position within the document.
  void find_documents(Tensor documents, Tensor tokens, const DocumentRule& rule, int64_t seq);

  // --- dropout --------------------------------------------------------------------------------------------------
  // Applies dropout to x [N, C], rows of `seq` tokens. Applied to the gradient it is the backward.
  void dropout(Tensor x, const Dropout& rule, int64_t seq);

  // --- residual add and normalization ---------------------------------------------------------------------------
  // r = residual + branch, or residual if branch is empty; out = normalize(r) * weight (+ bias), over the last axis.
  // rms: r / sqrt(mean(r^2) + eps). layer: (r - mean) / sqrt(var + eps).
  // weight and bias are [C], all others [N, C]. weight, bias and branch have the compute dtype; residual and sum have
  // it or are f32; out is of either. `sum` receives r; it is empty if branch is. mean (layer only) and rstd f32[N] are
  // kept for the backward.
  void norm_forward(const NormForward& norm);
  // d_residual = (accumulate ? d_residual : 0) + gradient of r through the norm. d_weight and d_bias [C] accumulate. r
  // is what norm_forward normalized.
  void norm_backward(const NormBackward& norm);

  // --- linear layers --------------------------------------------------------------------------------------------
  // out[N, O] = in[N, I] weight[O, I]^T (+ bias[O]).
  void linear_forward(Tensor out, Tensor in, Tensor weight, Tensor bias);
  // din[N, I] = dout[N, O] weight[O, I] (+ din if accumulate).
  void linear_backward_input(Tensor din, Tensor dout, Tensor weight, bool accumulate);
  // d_weight[O, I] += dout^T in; d_bias[O] += column sums of dout, if present.
  void linear_backward_weight(Tensor d_weight, Tensor d_bias, Tensor dout, Tensor in);
  // c = alpha a b + beta c, for rank 2 or for each entry of the first dimension of rank 3. a, b and c have one dtype. c
  // must not overlap a or b.
  void matmul(Tensor c, const Operand& a, const Operand& b, float alpha = 1, float beta = 0);
  // c = alpha a b + beta source, where source has c's shape and is only read.
  void matmul_add(Tensor c, Tensor source, const Operand& a, const Operand& b, float alpha, float beta);
  // pre = in weight^T (+ bias) and out = activation(pre), fused if the device can. out is [N, O].
  void linear_activation_forward(Activation kind, Tensor out, Tensor pre, Tensor in, Tensor weight, Tensor bias);
  // d_pre[N, I] = (dout[N, O] weight[O, I]) * activation'(pre).
  void linear_activation_backward(Activation kind, Tensor d_pre, Tensor dout, Tensor weight, Tensor pre);

  // --- norm of heads --------------------------------------------------------------------------------------------
  // Divides each query head and each key head of `in` [N, qkv_width] by its RMS, sqrt(mean square + eps). Multiplies by
  // `weight` [2 head_dim], if present: gains of queries, then of keys. Value heads are copied.
  void head_norm_forward(Tensor out, Tensor in, Tensor weight, const AttentionShape& shape, float eps);
  // Replaces dqkv, the gradient of `out`, by the gradient of `in`; d_weight accumulates.
  void head_norm_backward(Tensor dqkv, Tensor d_weight, Tensor in, Tensor weight, const AttentionShape& shape,
                          float eps);

  // --- rotary positions -----------------------------------------------------------------------------------------
  // Rotates the first (heads + kv_heads) heads of each row of qkv in place: pair (i, i + head_dim/2) by the i-th angle
  // of the token's position (the rotate-half layout of Hugging Face LLaMA). `inverse` rotates back, which is the
  // backward. table f32[seq, head_dim] holds cos, then sin, of the head_dim/2 angles of each position.
  void rope(Tensor qkv, Tensor table, const AttentionShape& shape, bool inverse);

  // --- attention ------------------------------------------------------------------------------------------------
  // qkv [N, qkv_width]; out [N, heads * head_dim]; log_sum_exp f32[batch, heads, seq] is kept for the backward. Our
  // kernels work in tiles with an online softmax and store nothing of size seq x seq (cuDNN's backward may). Tiles of
  // scores between different documents are skipped.
  void attention_forward(Tensor out, Tensor log_sum_exp, Tensor qkv, const AttentionShape& shape,
                         const AttentionRule& rule = {});
  void attention_backward(Tensor dqkv, Tensor dout, Tensor out, Tensor log_sum_exp, Tensor qkv,
                          const AttentionShape& shape, const AttentionRule& rule = {});
  // Optional hint: attention of this shape (any scale) will run repeatedly, so the backend may plan kernels now. Throws
  // Error if the chosen kernels do not support it.
  virtual void plan_attention(const AttentionShape& /*shape*/, DType /*dtype*/) {}

  // --- activation functions -------------------------------------------------------------------------------------
  // out[N, F] = activation(gate) * up, where a row of gate_up [N, 2F] is [gate | up]: SwiGLU and its relatives.
  void gated_forward(Activation kind, Tensor out, Tensor gate_up);
  void gated_backward(Activation kind, Tensor d_gate_up, Tensor dout, Tensor gate_up);
  void activation_forward(Activation kind, Tensor out, Tensor in);
  void activation_backward(Activation kind, Tensor din, Tensor dout, Tensor in);

  // --- loss -----------------------------------------------------------------------------------------------------
  // losses f32[N] = -log softmax(z[n])[targets[n]] in nats, or 0 where targets[n] is -100. z is the first
  // rule.vocabulary columns of logits [N, width], with the rule's soft cap.
  // With `gradient`, logits are overwritten by grad_scale * their gradient, which without z_loss is (softmax - onehot)
  // dz/dl. Rows with target -100 and columns beyond the vocabulary become 0.
  void cross_entropy(Tensor losses, Tensor logits, Tensor targets, const LossRule& rule, float grad_scale,
                     bool gradient);

  // --- optimizers -----------------------------------------------------------------------------------------------
  // The formulas are beside the rules in kernels/optimizer_rules.h. All slots of one call share their dtypes, and
  // either all have a master or none has. Sums are taken in fp32 or better; zero rows and matrices give zero updates.
  // adamw: slots of any size and shape.
  void adamw(const std::vector<OptimizerSlot>& slots, const AdamWRule& rule);
  // Slots are matrices [out, in] of any shapes, each with its momentum buffer in `first`.
  void normalized_step(const std::vector<OptimizerSlot>& slots, const NormalizedStepRule& rule);
  // Writes update [n, out, in] from the gradients and buffers (`first`) of n slots of out * in elements.
  void momentum(Tensor update, const std::vector<OptimizerSlot>& slots, const MomentumRule& rule);
  // update -= its component along the weights (the masters if present).
  void project(Tensor update, const std::vector<OptimizerSlot>& slots, const ProjectRule& rule);
  void normalize(Tensor update, const NormalizeRule& rule);
  // update = sign(update): -1, 0 or 1.
  void sign(Tensor update);
  // out f32[n, k] = scale^2 * sums of squares of n matrices [out, in]: k = out (row), in (column) or 1 (matrix).
  void sums_of_squares(Tensor out, const std::vector<Tensor>& matrices, Along along, float scale);
  // factors, update_sums, gradient_sums f32[n, k]; gradient_sums is empty for normuon.
  void adaptive_factors(Tensor factors, const std::vector<OptimizerSlot>& slots, Tensor update_sums,
                        Tensor gradient_sums, const AdaptRule& rule);
  // Works element by element; v is the slot's `second`.
  void second_moment(Tensor update, const std::vector<OptimizerSlot>& slots, const SecondMomentRule& rule);
  // Applies the step to the weights. factors and keeps are f32[n, k] along rule.along, or empty.
  void apply(Tensor update, const std::vector<OptimizerSlot>& slots, Tensor factors, Tensor keeps,
             const ApplyRule& rule);
  // out f32[n, k] = sums of a * b over n pairs of matrices [out, in]; sums of |a| if b is empty.
  void sums_along(Tensor out, const std::vector<Tensor>& a, const std::vector<Tensor>& b, Along along);
  // update [n, out, in] *= factors f32[n, k], one per row, column or matrix.
  void scale_along(Tensor update, Tensor factors, Along along);
  // x is f32 of any shape.
  void power(Tensor x, const PowerRule& rule);
  // y *= x; both are f32 of any shape.
  void multiply(Tensor y, Tensor x);
  // steps and keeps f32[n, k] are computed from sums f32[n, k]; radii is f32[n, k] or empty.
  void retract_factors(Tensor steps, Tensor keeps, Tensor ww, Tensor uw, Tensor uu, Tensor radii,
                       const RetractRule& rule);
  void keep_largest(Tensor update, const std::vector<OptimizerSlot>& slots, const LargestRule& rule);
  // Sorts the rows or columns of each matrix [out, in] by descending keys f32[n, k].
  void sort_along(const std::vector<Tensor>& matrices, Tensor keys, Along along);
  // For each symmetric a f32[k, k], assumed positive semidefinite up to rounding: eigenvectors as columns of q f32[k,
  // k] by descending eigenvalue, and the eigenvalues in values f32[k]. In double precision: by a tridiagonal form on a
  // CPU, by one-sided Jacobi (Hestenes 1958) on a GPU.
  void eigenvectors(const std::vector<Tensor>& q, const std::vector<Tensor>& values, const std::vector<Tensor>& a);
  // Replaces each a f32[k, k] by the orthogonal factor of its QR decomposition (Householder), in double precision.
  void orthonormalize(const std::vector<Tensor>& a);

 protected:
  // Marks an operation as running. Operations that an implementation calls internally (do_add) count as part of it.
  class Running {
   public:
    Running(Backend& backend, const char* operation, const Tensor& subject) : backend_(backend) {
      backend_.begin(operation, subject);
      if (backend_.timeline_.recording()) backend_.timeline_.open(operation, subject.describe());
    }
    ~Running() {
      if (backend_.timeline_.recording()) backend_.timeline_.close();
      backend_.end();
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

   private:
    Backend& backend_;
  };
  // For error messages and profilers: the operation that starts, and its main tensor.
  virtual void begin(const char* /*operation*/, const Tensor& /*subject*/) {}
  virtual void end() {}

  // The operations, on checked arguments.
#define ROWAN_OPERATION = 0
#include "kernels/backend_overrides.inc"
  // Composed of other operations by default; a device may override them with something faster.
  virtual void do_repeat(const void* owner, uint64_t key, const std::function<void()>& work);
  virtual void do_matmul_add(Tensor c, Tensor source, const Operand& a, const Operand& b, float alpha, float beta);
  virtual void do_linear_activation_forward(Activation kind, Tensor out, Tensor pre, Tensor in, Tensor weight,
                                            Tensor bias);
  virtual void do_linear_activation_backward(Activation kind, Tensor d_pre, Tensor dout, Tensor weight, Tensor pre);

 private:
  class Operation;  // kernels/operation.h
  std::vector<RecordedCall>* recording_ = nullptr;
  Timeline timeline_;
};

// The CPU backend. threads = 0: OMP_NUM_THREADS, or every core in the process's affinity mask.
std::unique_ptr<Backend> make_cpu_backend(int threads = 0);
// The backend of GPU `index`. Throws Error if the build has no CUDA or not these kernels, or if there is no driver or
// no such GPU.
std::unique_ptr<Backend> make_cuda_backend(int index, AttentionKernels attention = AttentionKernels::rowan);

}  // namespace rowan

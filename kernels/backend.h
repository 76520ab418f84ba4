// Backend: every operation a trainer needs, declared once. Callers see a front of non-virtual functions, the only place
// where arguments are checked and calls are recorded (kernels/backend*.cpp); behind it a device implements do_NAME for
// each NAME. Implementations: kernels/cpu (the specification), kernels/cuda, kernels/dry (computes nothing, counts
// everything). C++17: CUDA sources include this header.
//
// Conventions
// * Tensors are contiguous, row-major views (base/tensor.h). An empty Tensor is an absent optional argument.
// * N = batch * seq tokens; C = hidden size; V = vocabulary. A linear weight is [out, in].
// * "f32|bf16" is the compute dtype; the activations and weights of one call share it unless said otherwise.
//   Everything accumulates in fp32 (or better) whatever the dtype of the operands.
// * Gradients of parameters are f32 or bf16 and are accumulated: d += ...; gradients of activations are written.
// * The front checks shapes and dtypes and throws Error naming the operation and the argument.
// * Calls are asynchronous in order on one stream; download() and synchronize() wait.
// * Same inputs, same bits: no float atomics.
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

// What memory is for; plans and out-of-memory messages speak of it.
enum class Category : uint8_t { weights, masters, gradients, optimizer_state, activations, workspace, data };
constexpr auto names_of(Category) {
  return enum_names("weights", "masters", "gradients", "optimizer_state", "activations", "workspace", "data");
}
inline constexpr int category_count = count_of<Category>;

enum class Norm : uint8_t { rms, layer };
// x sigmoid(x); GELU by tanh and exact; max(x, 0)^2.
enum class Activation : uint8_t { silu, gelu_tanh, gelu_erf, relu_squared };
inline constexpr int activation_count = 4;

// Causal self-attention over packed projections. A row of qkv is [q heads | k heads | v heads], each head_dim wide:
// (heads + 2 * kv_heads) * head_dim values a token. Query head h reads key/value head h / (heads / kv_heads).
struct AttentionShape {
  int64_t batch, seq, heads, kv_heads, head_dim;
  float scale;  // softmax(scale * q k^T)

  int64_t tokens() const { return batch * seq; }
  int64_t qkv_width() const { return (heads + 2 * kv_heads) * head_dim; }
  int64_t out_width() const { return heads * head_dim; }
};

// Elements that training leaves out: each with probability `rate`; the others are multiplied by 1 / (1 - rate). The
// draws (kernels/dropout.h) are a function of seed, sample, site and the element's number within its sample.
struct Dropout {
  float rate = 0;
  uint64_t seed = 0;
  int64_t site = 0;  // which place of the model, below 2^24
  Tensor samples;    // i32[batch, 2]: low and high words of the number, below 2^40, of each row of the micro-batch
};

// What the end of a document looks like.
struct DocumentRule {
  int32_t end_token;
  bool opens;  // the end token is the first of its document, else the last
};

// Attention beside the causal rule.
struct AttentionRule {
  Tensor documents;  // of find_documents(): queries see keys of their document only; absent: a row is one document
  Dropout dropout;   // of the softmax's weights
};

// How logits become losses.
struct LossRule {
  int64_t vocabulary;  // columns of the logits that count
  float softcap = 0;   // c: logits l become z = c l / sqrt(l^2 + c^2); 0: z = l
  float z_loss = 0;    // the gradient is that of loss + z_loss log(sum of e^z)^2
};

// Whose attention kernels a GPU runs: our own, or NVIDIA's where the build has found them.
enum class AttentionKernels : uint8_t { rowan, cudnn };
constexpr auto names_of(AttentionKernels) { return enum_names("rowan", "cudnn"); }

// The most that a device takes. A model that needs more is refused before anything runs.
struct Limits {
  int64_t head_dim = INT64_MAX;    // of attention
  int64_t norm_width = INT64_MAX;  // values in a row that is normalized
  int64_t batch = INT64_MAX;       // sequences in a micro-batch
};

// The arguments of Backend::norm_forward and norm_backward. Tensors that may be absent are empty by default.
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

// A factor of a product: x, or x with its last two dimensions transposed.
struct Operand {
  Tensor x;
  bool transposed;

  Operand(Tensor x, bool transposed = false) : x(x), transposed(transposed) {}
  // Of x as it is multiplied.
  int64_t rows() const { return transposed ? x.cols() : before_last(); }
  int64_t cols() const { return transposed ? before_last() : x.cols(); }

 private:
  int64_t before_last() const { return x.rank < 2 ? 1 : x.dim(x.rank - 2); }
};

class Backend;

// An operation that a Backend has run, to be run again there or on another one.
struct RecordedCall {
  std::string operation;  // with the choices that make it another kernel: "normalized_step row, project"
  std::string operands;   // dtypes and shapes, "-" for an absent one: "bf16[4096, 768] bf16[2304, 768] -"
  std::function<void(Backend&)> run;
};

class Backend {
 public:
  virtual ~Backend() = default;
  // Runs `work` and returns the operations it asked for, transfers to and from the host excepted.
  std::vector<RecordedCall> record(const std::function<void()>& work);
  // Of the host's thread. While it records, it has every operation, and a GPU is waited for after each.
  Timeline& timeline() { return timeline_; }

  // "cpu", "cuda" or "dry".
  virtual std::string name() const = 0;
  // For people: device model, threads or GPU, the instructions used.
  virtual std::string describe() const = 0;
  // The dtypes matrix products run fast in here; the trainer warns about others.
  virtual bool fast(DType dtype) const = 0;
  virtual Limits limits() const { return {}; }
  // From now on products of f32 tensors may round their factors to TF32, 10 bits of mantissa, as tensor cores do.
  // Throws Error where a device has none.
  virtual void allow_tf32();
  // What makes attention of this shape slow here, for people; empty when nothing does.
  virtual std::string slow_attention(const AttentionShape& /*shape*/, DType /*dtype*/) const { return ""; }
  // True when tensors can be read and written by host code.
  virtual bool host_memory() const = 0;

  // --- memory -------------------------------------------------------------------------------------------------
  // Zeroed device memory, 64-byte aligned. Throws OutOfMemory naming the category and the size when there is none.
  virtual void* allocate(size_t bytes, Category category) = 0;
  virtual void release(void* memory) = 0;
  void upload(Tensor to, const void* host);
  // Waits for all work before it.
  void download(void* host, Tensor from);
  // Same number of elements; converts between f32 and bf16 (to nearest even).
  void copy(Tensor to, Tensor from);
  void zero(Tensor x);
  void synchronize();
  // Runs `work`, which queues the same operations on the same memory whenever owner and key are the same, and neither
  // uploads, downloads, allocates nor waits. A GPU may record it once and replay it: the same results with fewer calls.
  // `owner` is whose memory that is.
  void repeat(const void* owner, uint64_t key, const std::function<void()>& work);

  // --- elementwise and reductions -------------------------------------------------------------------------------
  // x *= factor.
  void scale(Tensor x, float factor);
  // y += x, any mix of f32 and bf16.
  void add(Tensor y, Tensor x);
  // y += weight * (x - y), y f32, x f32 or bf16.
  void lerp(Tensor y, Tensor x, float weight);
  // x = min(max(x, -limit), limit) on columns [begin, end) of x [N, width]: GPT-2's qk_clip in RMNP's code.
  void clamp_forward(Tensor x, int64_t begin, int64_t end, float limit);
  // dx = 0 where |x| >= limit, x being the clamped values, on the same columns.
  void clamp_backward(Tensor dx, Tensor x, int64_t begin, int64_t end, float limit);
  // out f32[1] (+)= sum of x (f32).
  void sum(Tensor out, Tensor x, bool accumulate);
  // out f32[1] = sum over all tensors of the squares of their elements; not finite when any element is not.
  void sum_squares(Tensor out, const std::vector<Tensor>& xs);

  // --- embedding ------------------------------------------------------------------------------------------------
  // out[n] = table[tokens[n]] (+ positions[p]); tokens i32[N], out [N, C], f32 or as the tables; table [V, C],
  // positions [P, C]; p is position_ids[n], i32[N] below P, or n mod seq where they are absent.
  void embedding_forward(Tensor out, Tensor tokens, Tensor table, Tensor positions, int64_t seq,
                         Tensor position_ids = Tensor());
  // d_table[tokens[n]] += dout[n]; d_positions[n mod seq] += dout[n].
  void embedding_backward(Tensor d_table, Tensor d_positions, Tensor dout, Tensor tokens, int64_t seq);

  // --- documents ------------------------------------------------------------------------------------------------
  // documents i32[3, N] of tokens i32[N] in rows of `seq`, each of which starts a document: for each token the position
  // in its row where its document begins, the one behind its document, and the token's position within it.
  void find_documents(Tensor documents, Tensor tokens, const DocumentRule& rule, int64_t seq);

  // --- dropout --------------------------------------------------------------------------------------------------
  // x [N, C] in rows of `seq` tokens; the same on a gradient is the backward.
  void dropout(Tensor x, const Dropout& rule, int64_t seq);

  // --- residual add and normalization ---------------------------------------------------------------------------
  // r = residual + branch (an empty branch: r = residual), out = normalize(r) * weight (+ bias), over the last axis.
  // rms: r / sqrt(mean(r^2) + eps). layer: (r - mean) / sqrt(var + eps). All [N, C]; weight, bias [C]; residual and sum
  // are f32 or of the compute dtype, as weight, bias and branch are; out is of either. mean (layer only) and rstd
  // f32[N] are kept for the backward. `sum` receives r and is empty with the branch.
  void norm_forward(const NormForward& norm);
  // d_residual = (accumulate ? d_residual : 0) + gradient of r through the norm. d_weight, d_bias [C] accumulate.
  // r is what norm_forward normalized.
  void norm_backward(const NormBackward& norm);

  // --- linear layers --------------------------------------------------------------------------------------------
  // out[N, O] = in[N, I] weight[O, I]^T (+ bias[O]).
  void linear_forward(Tensor out, Tensor in, Tensor weight, Tensor bias);
  // din[N, I] = dout[N, O] weight[O, I] (+ din when accumulate).
  void linear_backward_input(Tensor din, Tensor dout, Tensor weight, bool accumulate);
  // d_weight[O, I] += dout^T in; d_bias[O] += column sums of dout when present.
  void linear_backward_weight(Tensor d_weight, Tensor d_bias, Tensor dout, Tensor in);
  // c = alpha a b + beta c for rank 2, or for each entry of the first dimension of rank 3. a, b, c of one dtype. `c`
  // must not overlap a or b.
  void matmul(Tensor c, const Operand& a, const Operand& b, float alpha = 1, float beta = 0);
  // c = alpha a b + beta source: the same with another tensor of c's shape in c's place, which is only read.
  void matmul_add(Tensor c, Tensor source, const Operand& a, const Operand& b, float alpha, float beta);
  // pre = in weight^T (+ bias), out = activation(pre): the two operations in one where a device has it. out [N, O].
  void linear_activation_forward(Activation kind, Tensor out, Tensor pre, Tensor in, Tensor weight, Tensor bias);
  // d_pre[N, I] = (dout[N, O] weight[O, I]) * activation'(pre).
  void linear_activation_backward(Activation kind, Tensor d_pre, Tensor dout, Tensor weight, Tensor pre);

  // --- norm of heads --------------------------------------------------------------------------------------------
  // The query and key heads of each row of `in` [N, qkv_width], each by itself, over its RMS (root of mean square +
  // eps), times `weight` [2 head_dim], the gains of queries, then of keys, where present; the values are copied.
  void head_norm_forward(Tensor out, Tensor in, Tensor weight, const AttentionShape& shape, float eps);
  // dqkv, the gradient of `out`, becomes that of `in`; d_weight accumulates.
  void head_norm_backward(Tensor dqkv, Tensor d_weight, Tensor in, Tensor weight, const AttentionShape& shape,
                          float eps);

  // --- rotary positions -----------------------------------------------------------------------------------------
  // Rotates the first (heads + kv_heads) heads of each row of qkv in place: pair (i, i + head_dim/2) of a token by the
  // i-th angle of its position (the rotate-half layout of Hugging Face LLaMA); `inverse` rotates back, which is also
  // the backward. table f32[seq, head_dim] holds cos then sin of the head_dim/2 angles of each position.
  void rope(Tensor qkv, Tensor table, const AttentionShape& shape, bool inverse);

  // --- attention ------------------------------------------------------------------------------------------------
  // out [N, heads * head_dim], log_sum_exp f32[batch, heads, seq] (kept for the backward), qkv [N, qkv_width].
  // Ours are blocked, with a streaming softmax: nothing of size seq x seq is stored (cuDNN's backward may). Blocks of
  // scores between documents are not computed.
  void attention_forward(Tensor out, Tensor log_sum_exp, Tensor qkv, const AttentionShape& shape,
                         const AttentionRule& rule = {});
  void attention_backward(Tensor dqkv, Tensor dout, Tensor out, Tensor log_sum_exp, Tensor qkv,
                          const AttentionShape& shape, const AttentionRule& rule = {});
  // Told before attention of this shape, whatever its scale, is asked for again and again: a device may plan it. Throws
  // Error when the chosen kernels do not take it.
  virtual void plan_attention(const AttentionShape& /*shape*/, DType /*dtype*/) {}

  // --- activation functions -------------------------------------------------------------------------------------
  // out[N, F] = activation(gate) * up, where a row of gate_up [N, 2F] is [gate | up]: SwiGLU and its kin.
  void gated_forward(Activation kind, Tensor out, Tensor gate_up);
  void gated_backward(Activation kind, Tensor d_gate_up, Tensor dout, Tensor gate_up);
  void activation_forward(Activation kind, Tensor out, Tensor in);
  void activation_backward(Activation kind, Tensor din, Tensor dout, Tensor in);

  // --- loss -----------------------------------------------------------------------------------------------------
  // losses f32[N] = -log softmax(z[n])[targets[n]] in nats, z being the first rule.vocabulary columns of logits [N,
  // width], capped as the rule says; 0 where targets[n] is -100. With `gradient`, logits are overwritten by grad_scale
  // * their gradient, (softmax - onehot) dz/dl without a z_loss, rows with target -100 and the columns beyond the
  // vocabulary by 0.
  void cross_entropy(Tensor losses, Tensor logits, Tensor targets, const LossRule& rule, float grad_scale,
                     bool gradient);

  // --- optimizers -----------------------------------------------------------------------------------------------
  // Formulas stand beside the rules in kernels/optimizer_rules.h. All slots of one call share their dtypes, and
  // either all have a master or none. Sums are taken in fp32 or better; zero rows and matrices give zero updates.
  // Slots of any size and shape.
  void adamw(const std::vector<OptimizerSlot>& slots, const AdamWRule& rule);
  // Slots [out, in] of any shapes, each with its momentum buffer in `first`.
  void normalized_step(const std::vector<OptimizerSlot>& slots, const NormalizedStepRule& rule);
  // update [n, out, in]: written from the gradients and buffers (`first`) of n slots of out * in elements.
  void momentum(Tensor update, const std::vector<OptimizerSlot>& slots, const MomentumRule& rule);
  // update -= its part along the weights (masters where present).
  void project(Tensor update, const std::vector<OptimizerSlot>& slots, const ProjectRule& rule);
  void normalize(Tensor update, const NormalizeRule& rule);
  // update = -1, 0 or 1.
  void sign(Tensor update);
  // out f32[n, k] = scale^2 * sums of squares of n matrices [out, in]: k = out (row), in (column) or 1 (matrix).
  void sums_of_squares(Tensor out, const std::vector<Tensor>& matrices, Along along, float scale);
  // factors, update_sums, gradient_sums f32[n, k]; gradient_sums is empty for normuon.
  void adaptive_factors(Tensor factors, const std::vector<OptimizerSlot>& slots, Tensor update_sums,
                        Tensor gradient_sums, const AdaptRule& rule);
  // Element by element; v is the slot's `second`.
  void second_moment(Tensor update, const std::vector<OptimizerSlot>& slots, const SecondMomentRule& rule);
  // The step itself. factors and keeps f32[n, k] along rule.along, or empty.
  void apply(Tensor update, const std::vector<OptimizerSlot>& slots, Tensor factors, Tensor keeps,
             const ApplyRule& rule);
  // out f32[n, k] = sums of a * b over n pairs of matrices [out, in]; of |a| when b is empty.
  void sums_along(Tensor out, const std::vector<Tensor>& a, const std::vector<Tensor>& b, Along along);
  // update [n, out, in] *= factors f32[n, k] of its rows, columns or matrices.
  void scale_along(Tensor update, Tensor factors, Along along);
  // f32 of any shape.
  void power(Tensor x, const PowerRule& rule);
  // y *= x, both f32 of any shape.
  void multiply(Tensor y, Tensor x);
  // steps and keeps f32[n, k], from sums f32[n, k]; radii f32[n, k] or empty.
  void retract_factors(Tensor steps, Tensor keeps, Tensor ww, Tensor uw, Tensor uu, Tensor radii,
                       const RetractRule& rule);
  void keep_largest(Tensor update, const std::vector<OptimizerSlot>& slots, const LargestRule& rule);
  // Puts the rows or columns of each matrix [out, in] in the order of its falling keys f32[n, k].
  void sort_along(const std::vector<Tensor>& matrices, Tensor keys, Along along);
  // Of each symmetric a f32[k, k], taken as nearly positive semidefinite: the eigenvectors as columns of q f32[k, k],
  // by falling eigenvalue, and those in values f32[k]. One-sided Jacobi (Hestenes 1958) in double precision.
  void eigenvectors(const std::vector<Tensor>& q, const std::vector<Tensor>& values, const std::vector<Tensor>& a);
  // Each a f32[k, k] becomes the orthogonal factor of its QR decomposition (Householder), in double precision.
  void orthonormalize(const std::vector<Tensor>& a);

 protected:
  // Marks an operation as the one that runs. Operations that an implementation asks of itself (do_add) are part of it.
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
  // For a device's messages and profilers: the operation that starts and the tensor that says most about it.
  virtual void begin(const char* /*operation*/, const Tensor& /*subject*/) {}
  virtual void end() {}

  // The operations themselves, on checked arguments.
#define ROWAN_OPERATION = 0
#include "kernels/backend_overrides.inc"
  // Those that are made of others; a device that does better overrides them.
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

// The CPU backend; threads = 0 takes OMP_NUM_THREADS or every core of the process's affinity mask.
std::unique_ptr<Backend> make_cpu_backend(int threads = 0);
// The GPU `index`; throws Error when the build has no CUDA or not those kernels, or there is no driver or no such GPU.
std::unique_ptr<Backend> make_cuda_backend(int index, AttentionKernels attention = AttentionKernels::rowan);

}  // namespace rowan

// Backend: the operations of training. For an operation NAME, the non-virtual function NAME checks the arguments
// (kernels/backend*.cpp), then calls the virtual function do_NAME, which each backend implements. There are three
// backends: kernels/cpu specifies the results, kernels/cuda runs on a GPU, and kernels/dry computes nothing and counts
// memory, FLOPs and bytes. C++17, because CUDA sources include this header.
//
// Conventions
// * Tensors are contiguous, row-major views (base/tensor.h). An empty Tensor stands for an absent optional argument.
// * N = batch * seq is the number of tokens, C the hidden size, V the size of the vocabulary. The weight of a linear
//   layer is [out, in].
// * The activations and weights of one call have the same dtype, fp32 or bf16, unless a comment says otherwise. This
//   dtype is called the compute dtype. Sums are taken in fp32 or a wider type, whatever the dtype of the operands.
// * Gradients of parameters are fp32 or bf16. By default, operations add to gradients of parameters and overwrite
//   gradients of activations. An argument `accumulate` replaces this default.
// * The functions check shapes and dtypes. If a check fails, they throw an Error that names the operation.
// * A call may return before its operation has run. Operations run in order on one stream. download() and synchronize()
//   wait for all earlier operations.
// * Rowan's own kernels use no floating-point atomics, so the order of a sum does not change from run to run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/tensor.h"
#include "base/timeline.h"
#include "kernels/category.h"
#include "kernels/model_rules.h"
#include "kernels/optimizer_rules.h"

namespace rowan {

// The limits of a device. The constructor of Model throws Error for a model beyond them.
struct Limits {
  int64_t head_dim = INT64_MAX;    // largest head_dim of attention
  int64_t norm_width = INT64_MAX;  // largest number of values in a normalized row
  int64_t batch = INT64_MAX;       // largest number of sequences in a micro-batch
};

class Backend;

// A recorded call of an operation. It can be run again as long as the memory of its tensors exists.
struct RecordedCall {
  std::string operation;  // name, then the options that select a kernel: "normalized_step row, project"
  std::string operands;   // the tensors ("-" if absent), the flags, and which factors are 0: "bf16[4096, 768] - true"
  std::function<void(Backend&)> run;
};

class Backend {
 public:
  virtual ~Backend() = default;
  // Runs `work` and returns the operations that `work` called. Uploads, downloads and synchronize() are not recorded.
  std::vector<RecordedCall> record(const std::function<void()>& work);
  // The timeline of the host thread. While the timeline records, every operation appears in it, and the host waits for
  // the device after every operation except upload().
  Timeline& timeline() { return timeline_; }

  // "cpu", "cuda" or "dry".
  virtual std::string name() const = 0;
  // A description of a CPU's model, threads and instruction set, or of a GPU's name and memory. It is the same in every
  // process that uses this device in this way.
  virtual std::string describe() const = 0;
  // What the bits of sums depend on: the description, but of a CPU its instructions alone, since they do not depend on
  // the threads.
  virtual std::string arithmetic() const { return describe(); }
  // Whether matrix products of this dtype are fast on this device. The trainer warns if products of its compute dtype
  // are slow.
  virtual bool fast(DType dtype) const = 0;
  virtual Limits limits() const { return {}; }
  // Allows products of fp32 tensors to round their operands to TF32, which has 10 bits of mantissa. Throws Error if the
  // device has no TF32.
  virtual void allow_tf32();
  // From now on, when a matrix product occurs for the first time, the fastest of several algorithms is chosen for it.
  // The choice is read from `file`. If `file` has none, the algorithms are timed and the choice is added to `file`.
  // Throws Error if this backend has no choice of algorithms, or if the file is damaged.
  virtual void time_products(const std::string& file);
  // For one of several ranks. If `file` has choices for this device, uses them and times nothing. Otherwise times the
  // algorithms of each matrix product that occurs for the first time, but only notes the fastest: until use_products(),
  // products use the algorithms that they use without timing. Returns whether it times. Throws Error like
  // time_products().
  virtual bool note_products(const std::string& file);
  // The choices that were noted or read, in the format of the file.
  virtual std::string noted_products() const;
  // Ends the timing. From now on, matrix products in `choices` use its algorithms, in place of those that were noted.
  virtual void use_products(const std::string& choices);
  // The reason why attention of this shape is slow on this device. Empty if it is fast.
  virtual std::string slow_attention(const AttentionShape& /*shape*/, DType /*dtype*/) const { return ""; }
  // Measures how many exponentials per second all threads compute together, for operands in the L1 cache. Only the CPU
  // backend measures this rate. The other backends return 0.
  virtual double exponential_rate() { return 0; }
  // True if host code can read and write the memory of tensors directly.
  virtual bool host_memory() const = 0;

  // --- memory -------------------------------------------------------------------------------------------------
  // Returns zeroed device memory, 64-byte aligned. If there is not enough, throws an OutOfMemory that names the
  // category.
  virtual void* allocate(size_t bytes, Category category) = 0;
  virtual void release(void* memory) = 0;
  // `host` holds numel() values of the tensor's dtype, in upload() and download().
  void upload(Tensor to, const void* host);
  // Waits for all earlier work.
  void download(void* host, Tensor from);
  // Copies all elements of `from` to `to`, which has the same number of elements. Converts between fp32 and bf16,
  // rounding to nearest even.
  void copy(Tensor to, Tensor from);
  // to [b, a, c] = from [a, b, c] with the first two dimensions swapped; same dtype.
  void swap_axes(Tensor to, Tensor from);
  void zero(Tensor x);
  void synchronize();
  // Runs `work`. A GPU may record it once and replay the recording, which gives the same results with fewer launches.
  // So whenever `owner` and `key` are the same, `work` must queue the same operations on the same memory. `work` must
  // not upload, download, allocate or wait. `owner` is the address of the object that the memory belongs to.
  void repeat(const void* owner, uint64_t key, const std::function<void()>& work);

  // --- elementwise and reductions -------------------------------------------------------------------------------
  // x *= factor; x is fp32 or bf16.
  void scale(Tensor x, float factor);
  // y += x. y and x may have different dtypes, fp32 or bf16.
  void add(Tensor y, Tensor x);
  // y += weight * (x - y); y is fp32, x is fp32 or bf16.
  void lerp(Tensor y, Tensor x, float weight);
  // x = min(max(x, -limit), limit) on columns [begin, end) of x [N, width]. Models whose config has `qk_clip` use this.
  void clamp_forward(Tensor x, int64_t begin, int64_t end, float limit);
  // dx = 0 where |x| >= limit, on columns [begin, end). x holds the clamped values. The limit is rounded to x's dtype.
  void clamp_backward(Tensor dx, Tensor x, int64_t begin, int64_t end, float limit);
  // out fp32[1] = sum of x, which is fp32. If `accumulate`, the sum is added to out.
  void sum(Tensor out, Tensor x, bool accumulate);
  // out fp32[1] = sum of x^2 over the elements x of all tensors. If an element is not finite, out is not finite.
  void sum_squares(Tensor out, const std::vector<Tensor>& xs);

  // --- embedding ------------------------------------------------------------------------------------------------
  // out[n] = table[tokens[n]] (+ positions[p]), where p = position_ids[n] if position_ids is present, else n mod seq.
  // tokens i32[N]; table [V, C]; positions [P, C]; position_ids i32[N], below P; out [N, C], fp32 or of table's dtype.
  void embedding_forward(Tensor out, Tensor tokens, Tensor table, Tensor positions, int64_t seq,
                         Tensor position_ids = Tensor());
  // d_table[tokens[n]] += dout[n], and d_positions[n mod seq] += dout[n] if d_positions is present.
  void embedding_backward(Tensor d_table, Tensor d_positions, Tensor dout, Tensor tokens, int64_t seq);

  // --- documents ------------------------------------------------------------------------------------------------
  // tokens i32[N] form rows of `seq` tokens. The first token of each row starts a document. For each token,
  // documents[0] receives the position in the row at which the token's document begins, documents[1] the position after
  // the document's last token, and documents[2] the token's position within the document. documents is i32[3, N].
  void find_documents(Tensor documents, Tensor tokens, const DocumentRule& rule, int64_t seq);

  // --- dropout --------------------------------------------------------------------------------------------------
  // Applies dropout in place to x [N, C], which holds sequences of `seq` tokens. The backward is the same operation on
  // the gradient.
  void dropout(Tensor x, const Dropout& rule, int64_t seq);

  // --- residual add and normalization ---------------------------------------------------------------------------
  // r = residual + branch, or residual if branch is empty; out = normalize(r) * weight (+ bias), over the last axis.
  // rms: r / sqrt(mean(r^2) + eps). layer: (r - mean) / sqrt(var + eps).
  // `sum` receives r; it is absent if and only if branch is absent. rstd fp32[N] receives the reciprocal of the divisor
  // in these formulas; mean fp32[N] is present for `layer` only. Both are kept for the backward. weight and bias are
  // [C]; out, sum, residual and branch are [N, C]. weight, bias and branch have the compute dtype. residual and sum
  // have the same dtype, fp32 or the compute dtype. out has the dtype of residual or of weight.
  void norm_forward(const NormForward& norm);
  // d_residual receives the gradient with respect to r, the tensor that norm_forward normalized. If `accumulate`, the
  // gradient is added to d_residual. The gradients of weight and bias are always added to d_weight [C] and d_bias [C].
  void norm_backward(const NormBackward& norm);

  // --- linear layers --------------------------------------------------------------------------------------------
  // out[N, O] = in[N, I] weight[O, I]^T (+ bias[O]).
  void linear_forward(Tensor out, Tensor in, Tensor weight, Tensor bias);
  // din[N, I] = dout[N, O] weight[O, I] (+ din if accumulate).
  void linear_backward_input(Tensor din, Tensor dout, Tensor weight, bool accumulate);
  // d_weight[O, I] = dout^T in (+ d_weight if accumulate). If d_bias is present, d_bias[O] = column sums of dout
  // (+ d_bias if accumulate).
  void linear_backward_weight(Tensor d_weight, Tensor d_bias, Tensor dout, Tensor in, bool accumulate);
  // c = alpha a b + beta c. Tensors of rank 3 are batches of matrices: one product for each index of the first
  // dimension. a, b and c have the same dtype. c must not overlap a or b.
  void matmul(Tensor c, const Operand& a, const Operand& b, float alpha = 1, float beta = 0,
              Result result = Result::any);
  // c = alpha a b + beta source, where source has c's shape and is only read.
  void matmul_add(Tensor c, Tensor source, const Operand& a, const Operand& b, float alpha, float beta,
                  Result result = Result::any);
  // pre = in weight^T (+ bias) and out = activation(pre), in one kernel if the device has one. pre and out are [N, O].
  void linear_activation_forward(Activation kind, Tensor out, Tensor pre, Tensor in, Tensor weight, Tensor bias);
  // The backward pass through a linear layer and the activation before it: in = activation(pre), out = in weight^T.
  // d_pre[N, I] = (dout[N, O] weight[O, I]) * activation'(pre), where * is elementwise.
  void linear_activation_backward(Activation kind, Tensor d_pre, Tensor dout, Tensor weight, Tensor pre);

  // --- norm of heads --------------------------------------------------------------------------------------------
  // Divides each query head and each key head of `in` [N, qkv_width] by the head's RMS, sqrt(mean square + eps). If
  // `weight` is present, multiplies the heads by gains. `weight` [2 * head_dim] holds the gains of query heads, then
  // the gains of key heads. Value heads are copied.
  void head_norm_forward(Tensor out, Tensor in, Tensor weight, const AttentionShape& shape, float eps);
  // Replaces dqkv, the gradient of `out`, by the gradient of `in`. Adds the gradient of `weight` to d_weight.
  void head_norm_backward(Tensor dqkv, Tensor d_weight, Tensor in, Tensor weight, const AttentionShape& shape,
                          float eps);

  // --- rotary positions -----------------------------------------------------------------------------------------
  // Rotates the query and key heads of qkv [N, qkv_width] in place. In each head, elements i and i + head_dim/2 are a
  // pair. The pair is rotated by the i-th angle of the token's position (rotate-half, as in Hugging Face's LLaMA).
  // `inverse` rotates by the negative angles, as the backward pass requires. table fp32[seq, head_dim] holds, for each
  // position, the cosines of its head_dim/2 angles, then their sines.
  void rope(Tensor qkv, Tensor table, const AttentionShape& shape, bool inverse);

  // --- attention ------------------------------------------------------------------------------------------------
  // qkv [N, qkv_width]; out [N, heads * head_dim]; log_sum_exp fp32[batch, heads, seq] is kept for the backward.
  // Rowan's kernels compute the scores in tiles with an online softmax and store no matrix of seq x seq scores. cuDNN's
  // backward may store one.
  void attention_forward(Tensor out, Tensor log_sum_exp, Tensor qkv, const AttentionShape& shape,
                         const AttentionRule& rule = {});
  // dqkv has the shape of qkv, dout that of out.
  void attention_backward(Tensor dqkv, Tensor dout, Tensor out, Tensor log_sum_exp, Tensor qkv,
                          const AttentionShape& shape, const AttentionRule& rule = {});
  // Announces that attention of this shape, with any scale, will run repeatedly. The CUDA backend plans cuDNN's kernels
  // here, and runs them only for shapes that were announced. Throws Error if cuDNN is chosen and does not support the
  // shape or the dtype.
  virtual void plan_attention(const AttentionShape& /*shape*/, DType /*dtype*/) {}

  // --- activation functions -------------------------------------------------------------------------------------
  // out[N, F] = activation(gate) * up, where a row of gate_up [N, 2F] is [gate | up]. With silu, this is SwiGLU.
  void gated_forward(Activation kind, Tensor out, Tensor gate_up);
  // d_gate_up and gate_up [N, 2F], dout [N, F].
  void gated_backward(Activation kind, Tensor d_gate_up, Tensor dout, Tensor gate_up);
  // out = activation(in), element by element; in the backward, din = dout * activation'(in). All have one shape.
  void activation_forward(Activation kind, Tensor out, Tensor in);
  void activation_backward(Activation kind, Tensor din, Tensor dout, Tensor in);

  // --- loss -----------------------------------------------------------------------------------------------------
  // losses[n] = -log softmax(z[n])[targets[n]] in nats, or 0 where targets[n] is -100. losses fp32[N]; targets i32[N].
  // z is the first rule.vocabulary columns of logits [N, width], with the rule's soft cap applied. If `gradient`, the
  // logits l are overwritten by grad_scale times the gradient of the loss. If z_loss is 0, this gradient is
  // (softmax(z) - onehot) dz/dl, where onehot is 1 at the target. The gradient is 0 in rows with target -100 and in
  // columns beyond the vocabulary.
  void cross_entropy(Tensor losses, Tensor logits, Tensor targets, const LossRule& rule, float grad_scale,
                     bool gradient);

  // --- optimizers -----------------------------------------------------------------------------------------------
  // The formulas are beside the rules in kernels/optimizer_rules.h. All slots (OptimizerSlot) of one call have the
  // same dtypes, and either all of them have a master or none has one. A row, column or matrix of zeros is normalized
  // to zeros.

  // Slots may have any sizes and shapes.
  void adamw(const std::vector<OptimizerSlot>& slots, const AdamWRule& rule);
  // Slots are matrices [out, in], whose shapes may differ. The momentum buffer of a slot is its `first`.
  void normalized_step(const std::vector<OptimizerSlot>& slots, const NormalizedStepRule& rule);
  // Computes update [n, out, in] from the gradients and momentum buffers (`first`) of n slots, and updates the buffers.
  // Each slot has out * in elements.
  void momentum(Tensor update, const std::vector<OptimizerSlot>& slots, const MomentumRule& rule);
  // Changes each row or column of the update by the formula of ProjectRule. In the formula, w is a row or column of the
  // slot's master, or of its weight if there is no master.
  void project(Tensor update, const std::vector<OptimizerSlot>& slots, const ProjectRule& rule);
  // Changes update [n, out, in] by the formula of NormalizeRule.
  void normalize(Tensor update, const NormalizeRule& rule);
  // update = sign(update): -1, 0 or 1; NaN for NaN.
  void sign(Tensor update);
  // out fp32[n, k] = scale^2 * sums of squares in n matrices [rows, cols]. `along` says whether there is one sum for
  // each row (k = rows), each column (k = cols) or each matrix (k = 1). A sum above largest_sum becomes largest_sum.
  void sums_of_squares(Tensor out, const std::vector<Tensor>& matrices, Along along, float scale);
  // Computes a factor for each row, column or matrix of n updates: k factors per update. factors, update_sums and
  // gradient_sums are fp32[n, k]. If rule.normuon, gradient_sums is not used. Also updates the second moments, which
  // are the slots' `second`.
  void adaptive_factors(Tensor factors, const std::vector<OptimizerSlot>& slots, Tensor update_sums,
                        Tensor gradient_sums, const AdaptRule& rule);
  // Updates the second moments, which are the slots' `second`. Then divides the update by roots of the second moments,
  // as SecondMomentRule says.
  void second_moment(Tensor update, const std::vector<OptimizerSlot>& slots, const SecondMomentRule& rule);
  // Applies the step to the weights. factors and keeps are absent or fp32[n, k], where rule.along determines k.
  void apply(Tensor update, const std::vector<OptimizerSlot>& slots, Tensor factors, Tensor keeps,
             const ApplyRule& rule);
  // out fp32[n, k] = sums of a * b for n pairs of matrices [rows, cols], or sums of |a| if b is empty. `along`
  // determines k as in sums_of_squares().
  void sums_along(Tensor out, const std::vector<Tensor>& a, const std::vector<Tensor>& b, Along along);
  // Multiplies update [n, out, in] by factors fp32[n, k], one per row, column or matrix.
  void scale_along(Tensor update, Tensor factors, Along along);
  // Applies PowerRule to each element of x, which is fp32 of any shape.
  void power(Tensor x, const PowerRule& rule);
  // y *= x, element by element; both are fp32 of any shape.
  void multiply(Tensor y, Tensor x);
  // Computes steps = q s and keeps = q k in the notation of RetractRule. All tensors are fp32 and have the same shape
  // with two dimensions. radii may be absent.
  void retract_factors(Tensor steps, Tensor keeps, Tensor ww, Tensor uw, Tensor uu, Tensor radii,
                       const RetractRule& rule);
  // Applies LargestRule to the update and to the slots' `first`.
  void keep_largest(Tensor update, const std::vector<OptimizerSlot>& slots, const LargestRule& rule);
  // Sorts the rows or columns of n matrices [rows, cols] by their keys fp32[n, k], in the order of sorts_before().
  void sort_along(const std::vector<Tensor>& matrices, Tensor keys, Along along);
  // Computes eigenvalues and eigenvectors of each symmetric matrix a fp32[k, k], which must be positive semidefinite up
  // to rounding errors. values fp32[k] receives the eigenvalues, the largest first, and the columns of q fp32[k, k]
  // receive the eigenvectors in the same order. The computation is in double precision: a CPU reduces the matrix to
  // tridiagonal form, a GPU uses one-sided Jacobi rotations (Hestenes 1958). If an element of a is not finite, q
  // becomes the identity and `values` the diagonal of a.
  void eigenvectors(const std::vector<Tensor>& q, const std::vector<Tensor>& values, const std::vector<Tensor>& a);
  // Replaces each matrix a fp32[k, k] by the orthogonal factor of its QR decomposition, computed by Householder
  // reflections in double precision. If an element of a is not finite, the result is some orthogonal matrix.
  void orthonormalize(const std::vector<Tensor>& a);

 protected:
  // Marks an operation as running while the object exists. If an operation calls do_NAME of another operation, only the
  // outer operation is marked.
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
  // begin() and end() are called when an operation starts and ends, so that a backend can name the operation in error
  // messages and profiles. `subject` is the operation's main tensor.
  virtual void begin(const char* /*operation*/, const Tensor& /*subject*/) {}
  virtual void end() {}

  // The operations as a backend implements them. Their arguments have been checked.
#define ROWAN_OPERATION = 0
#include "kernels/backend_overrides.inc"
  // These functions have default implementations. A backend may override them with faster ones.
  virtual void do_repeat(const void* owner, uint64_t key, const std::function<void()>& work);
  virtual void do_matmul_add(Tensor c, Tensor source, const Operand& a, const Operand& b, float alpha, float beta,
                             Result result);
  virtual void do_linear_activation_forward(Activation kind, Tensor out, Tensor pre, Tensor in, Tensor weight,
                                            Tensor bias);
  virtual void do_linear_activation_backward(Activation kind, Tensor d_pre, Tensor dout, Tensor weight, Tensor pre);

 private:
  class Operation;  // kernels/operation.h
  std::vector<RecordedCall>* recording_ = nullptr;
  Timeline timeline_;
};

// The CPU backend. If `threads` is 0, the number of threads is OMP_NUM_THREADS. If this variable is not set, there is
// one thread for each logical CPU that the process may run on.
std::unique_ptr<Backend> make_cpu_backend(int threads = 0);
// The backend of GPU number `index` mod the number of GPUs. Throws Error if the build has no CUDA or lacks the kernels
// that `attention` selects, if `index` is negative, if there is no driver or no GPU, or if the GPU's compute capability
// is below 8.0.
std::unique_ptr<Backend> make_cuda_backend(int index, AttentionKernels attention = AttentionKernels::rowan);

}  // namespace rowan

// One call of a Backend operation: checks the arguments, makes the call, and records it while Backend::record() runs.
// Example of an error message: "linear_forward: weight: found bf16[3, 4], expected bf16[3, 5]".
#pragma once

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "kernels/backend.h"

namespace rowan {

using Slots = std::vector<OptimizerSlot>;

class Backend::Operation {
 public:
  Operation(Backend& backend, const char* name) : backend_(backend), name_(name) {}

  const char* name() const { return name_; }

  void present(const char* argument, const Tensor& x) const {
    if (x.empty()) fail("{}: {} is missing", name_, argument);
  }
  void compute(const char* argument, const Tensor& x) const {
    present(argument, x);
    if (x.dtype == DType::i32) fail("{}: {}: found {}, expected fp32 or bf16", name_, argument, x.describe());
  }
  void rank(const char* argument, const Tensor& x, int rank) const {
    if (x.rank != rank) fail("{}: {}: found {}, expected {} dimension(s)", name_, argument, x.describe(), rank);
  }
  void is(const char* argument, const Tensor& x, DType dtype, std::initializer_list<int64_t> shape) const {
    present(argument, x);
    Tensor wanted(x.data, dtype, shape);
    if (x.dtype != dtype || !x.same_shape(wanted))
      fail("{}: {}: found {}, expected {}", name_, argument, x.describe(), wanted.describe());
  }
  void optional(const char* argument, const Tensor& x, DType dtype, std::initializer_list<int64_t> shape) const {
    if (!x.empty()) is(argument, x, dtype, shape);
  }
  // Checks a gradient, which may be fp32 or bf16 whatever the dtype of the other arguments.
  void gradient(const char* argument, const Tensor& x, std::initializer_list<int64_t> shape) const {
    compute(argument, x);
    is(argument, x, x.dtype, shape);
  }
  void same(const char* argument, const Tensor& x, const Tensor& wanted) const {
    present(argument, x);
    if (x.dtype != wanted.dtype || !x.same_shape(wanted))
      fail("{}: {}: found {}, expected {}", name_, argument, x.describe(), wanted.describe());
  }
  void absent(const char* argument, const Tensor& x, const char* when) const {
    if (!x.empty()) fail("{}: {}: found {}, expected none {}", name_, argument, x.describe(), when);
  }
  void positive(const char* argument, int64_t value) const {
    if (value <= 0) fail("{}: {}: found {}, expected more than 0", name_, argument, value);
  }
  void columns(const Tensor& x, int64_t begin, int64_t end, float limit) const;
  // Checks out = in weight^T (+ bias); `result` is the name of out in messages.
  void linear(const char* result, const Tensor& out, const Tensor& in, const Tensor& weight, const Tensor& bias) const;
  // Checks din = dout weight.
  void linear_input(const char* result, const Tensor& din, const Tensor& dout, const Tensor& weight) const;
  // Checks c = a b.
  void product(const Tensor& c, const Operand& a, const Operand& b, Result result) const;
  // Checks the arguments common to both passes of a norm. r, the residual stream, is fp32 or has the weight's dtype.
  // `out`, which is the norm's output or the gradient of the output, has the dtype of r or of the weight. rstd has one
  // value per row. mean has one value per row for Norm::layer, and is empty for Norm::rms.
  void norm(Norm kind, const char* argument, const Tensor& r, const char* result, const Tensor& out,
            const Tensor& weight, const Tensor& mean, const Tensor& rstd) const;
  void attention(const AttentionShape& shape, const AttentionRule& rule = {}) const;
  // Checks that head_dim is even, because rope() rotates pairs of elements.
  void even_heads(const AttentionShape& shape) const;
  void dropout(const Dropout& rule, int64_t batch) const;
  // Checks that the first dimension of x is a multiple of `seq`.
  void rows_of(const char* argument, const Tensor& x, int64_t seq) const;
  // Checks that ids are in [0, vocabulary). If `ignore`, an id may also be -100. Checks nothing if the host cannot read
  // device memory.
  void token_ids(const char* what, const Tensor& ids, int64_t vocabulary, bool ignore) const;

  // Appends text(), the options that select a kernel, to the recorded name. Calls text() only while recording.
  template <typename Text>
  void detail(Text text) {
    if (backend_.recording_) detail_ = text();
  }

  // Calls the member function `perform` of the backend, and records the call while Backend::record() runs. Error
  // messages and traces show the operation's name and `subject`, its main tensor.
  template <typename... Parameters, typename... Arguments>
  void run(const Tensor& subject, void (Backend::*perform)(Parameters...), const Arguments&... arguments) const {
    {
      Running running(backend_, name_, subject);
      (backend_.*perform)(arguments...);
      if (backend_.timeline_.recording()) backend_.do_synchronize();
    }
    if (!backend_.recording_) return;
    std::string operands;
    (tell(operands, arguments), ...);
    auto again = [name = name_, subject, perform, arguments...](Backend& backend) {
      Operation(backend, name).run(subject, perform, arguments...);
    };
    backend_.recording_->push_back({name_ + detail_, std::move(operands), std::move(again)});
  }

 private:
  // Checks a product of x [N, k] and a weight whose dimension `axis` has size k.
  void times_weight(const char* argument, const Tensor& x, const Tensor& weight, int axis) const;
  void stream(const Tensor& residual, const char* result, const Tensor& out, const Tensor& weight) const;
  void statistics(Norm kind, const Tensor& mean, const Tensor& rstd, int64_t n) const;

  // These functions append to `operands` what determines the memory traffic: the dtype and shape of a tensor, the value
  // of a flag, and whether a factor is 0. A list of slots becomes five entries: the dtype and total size of its
  // weights, of its masters, of its gradients, of its `first` and of its `second`.
  static void tell(std::string& operands, const Tensor& x);
  static void tell(std::string& operands, const std::vector<Tensor>& xs);
  static void tell(std::string& operands, const Slots& slots);
  static void tell(std::string& operands, const Operand& x) { tell(operands, x.x); }
  static void tell(std::string& operands, const NormForward& norm);
  static void tell(std::string& operands, const NormBackward& norm);
  static void tell(std::string& operands, bool flag);
  static void tell(std::string& operands, float factor);
  template <typename Other>
  static void tell(std::string&, const Other&) {}

  Backend& backend_;
  const char* name_;
  std::string detail_;
};

}  // namespace rowan

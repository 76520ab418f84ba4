// A Backend that passes every call on to another one and remembers it, so that it can be run again, there or on the
// dry backend: what `rowan bench kernels` measures is what a training step really asks for.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/backend.h"

namespace rowan {

struct RecordedCall {
  std::string operation;  // with the choices that make it another kernel: "normalized_step row, project"
  std::string operands;   // their dtypes and shapes: "bf16[4096, 768] bf16[2304, 768] -"
  std::function<void(Backend&)> run;
};

class RecordingBackend final : public Backend {
 public:
  // `inner` owns the memory; both must outlive the calls.
  explicit RecordingBackend(Backend& inner) : inner_(inner) {}

  // The calls since the last take(), transfers to and from the host excepted.
  std::vector<RecordedCall> take() { return std::exchange(calls_, {}); }

  std::string name() const override { return inner_.name(); }
  std::string describe() const override { return inner_.describe(); }
  bool fast(DType dtype) const override { return inner_.fast(dtype); }
  Limits limits() const override { return inner_.limits(); }
  bool host_memory() const override { return inner_.host_memory(); }
  void plan_attention(const AttentionShape& shape, DType dtype) override { inner_.plan_attention(shape, dtype); }

  void* allocate(size_t bytes, Category category) override { return inner_.allocate(bytes, category); }
  void release(void* memory) override { inner_.release(memory); }
  void upload(Tensor to, const void* host) override { inner_.upload(to, host); }
  void download(void* host, Tensor from) override { inner_.download(host, from); }
  void synchronize() override { inner_.synchronize(); }

  void matmul_add(Tensor c, Tensor source, Tensor a, bool transpose_a, Tensor b, bool transpose_b, float alpha,
                  float beta) override;
  void linear_gelu_forward(Gelu kind, Tensor out, Tensor pre, Tensor in, Tensor weight, Tensor bias) override;
  void linear_gelu_backward(Gelu kind, Tensor d_pre, Tensor dout, Tensor weight, Tensor pre) override;

#include "kernels/backend_overrides.inc"

 private:
  template <typename Call>
  void record(std::string operation, const std::vector<Tensor>& operands, Call call);

  Backend& inner_;
  std::vector<RecordedCall> calls_;
};

}  // namespace rowan

// Backend's functions for recording, memory, elementwise operations and sums.
#include "kernels/backend.h"

#include "kernels/operation.h"

namespace rowan {

std::vector<RecordedCall> Backend::record(const std::function<void()>& work) {
  std::vector<RecordedCall> calls;
  struct Listening {
    std::vector<RecordedCall>*& to;
    ~Listening() { to = nullptr; }
  } listening{recording_};
  recording_ = &calls;
  work();
  return calls;
}

void Backend::upload(Tensor to, const void* host) {
  Operation(*this, "upload").present("to", to);
  Running running(*this, "upload", to);
  do_upload(to, host);
}

void Backend::download(void* host, Tensor from) {
  Operation(*this, "download").present("from", from);
  Running running(*this, "download", from);
  do_download(host, from);
}

void Backend::synchronize() {
  Running running(*this, "synchronize", Tensor());
  do_synchronize();
}

// A replay of `work` calls no operations, so it leaves nothing to record or trace. While calls are recorded or traced,
// `work` runs directly.
void Backend::repeat(const void* owner, uint64_t key, const std::function<void()>& work) {
  if (recording_ || timeline_.recording())
    work();
  else
    do_repeat(owner, key, work);
}

void Backend::do_repeat(const void*, uint64_t, const std::function<void()>& work) { work(); }

void Backend::allow_tf32() {
  fail("precision: found \"tf32\", expected \"fp32\", because the device is \"{}\"", name());
}

void Backend::time_products(const std::string&) {
  fail("products: found \"timed\", expected \"heuristic\", because the device is \"{}\"", name());
}

bool Backend::note_products(const std::string& file) {
  time_products(file);
  return false;
}

std::string Backend::noted_products() const { return "{}"; }

void Backend::use_products(const std::string&) {}

void Backend::copy(Tensor to, Tensor from) {
  Operation op(*this, "copy");
  op.present("to", to);
  op.present("from", from);
  if (to.numel() != from.numel())
    fail("copy: to: found {}, expected {} elements like 'from', {}", to.describe(), from.numel(), from.describe());
  if (to.dtype != from.dtype && (to.dtype == DType::i32 || from.dtype == DType::i32))
    fail("copy: to: found {}, expected {} like 'from', because i32 is not converted", to.describe(),
         name_of(from.dtype));
  op.detail([&] { return fmt::format(" {} to {}", name_of(from.dtype), name_of(to.dtype)); });
  op.run(to, &Backend::do_copy, to, from);
}

void Backend::swap_axes(Tensor to, Tensor from) {
  Operation op(*this, "swap_axes");
  op.present("from", from);
  op.rank("from", from, 3);
  op.is("to", to, from.dtype, {from.dim(1), from.dim(0), from.dim(2)});
  op.run(to, &Backend::do_swap_axes, to, from);
}

void Backend::zero(Tensor x) {
  Operation op(*this, "zero");
  op.present("x", x);
  op.run(x, &Backend::do_zero, x);
}

void Backend::scale(Tensor x, float factor) {
  Operation op(*this, "scale");
  op.compute("x", x);
  op.run(x, &Backend::do_scale, x, factor);
}

void Backend::add(Tensor y, Tensor x) {
  Operation op(*this, "add");
  op.compute("y", y);
  op.compute("x", x);
  if (!x.same_shape(y)) fail("add: x: found {}, expected the shape of y, {}", x.describe(), y.describe());
  op.run(y, &Backend::do_add, y, x);
}

void Backend::lerp(Tensor y, Tensor x, float weight) {
  Operation op(*this, "lerp");
  op.present("y", y);
  op.compute("x", x);
  if (y.dtype != DType::f32) fail("lerp: y: found {}, expected fp32", y.describe());
  if (!x.same_shape(y)) fail("lerp: x: found {}, expected the shape of y, {}", x.describe(), y.describe());
  op.run(y, &Backend::do_lerp, y, x, weight);
}

void Backend::clamp_forward(Tensor x, int64_t begin, int64_t end, float limit) {
  Operation op(*this, "clamp_forward");
  op.compute("x", x);
  op.rank("x", x, 2);
  op.columns(x, begin, end, limit);
  op.run(x, &Backend::do_clamp_forward, x, begin, end, limit);
}

void Backend::clamp_backward(Tensor dx, Tensor x, int64_t begin, int64_t end, float limit) {
  Operation op(*this, "clamp_backward");
  op.compute("x", x);
  op.rank("x", x, 2);
  op.same("dx", dx, x);
  op.columns(x, begin, end, limit);
  op.run(x, &Backend::do_clamp_backward, dx, x, begin, end, limit);
}

void Backend::sum(Tensor out, Tensor x, bool accumulate) {
  Operation op(*this, "sum");
  op.is("out", out, DType::f32, {1});
  op.present("x", x);
  if (x.dtype != DType::f32) fail("sum: x: found {}, expected fp32", x.describe());
  op.run(x, &Backend::do_sum, out, x, accumulate);
}

void Backend::sum_squares(Tensor out, const std::vector<Tensor>& xs) {
  Operation op(*this, "sum_squares");
  op.is("out", out, DType::f32, {1});
  for (const Tensor& x : xs) op.compute("xs", x);
  op.run(out, &Backend::do_sum_squares, out, xs);
}

}  // namespace rowan

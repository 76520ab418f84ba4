#ifdef ROWAN_ONEDNN
#include <omp.h>

#include <array>
#include <cstring>
#include <map>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

#include "base/error.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/products.h"
#include "kernels/cpu/vector.h"

namespace rowan {
namespace {

using Dims = dnnl::memory::dims;

dnnl::memory::data_type data_type(DType dtype) {
  return dtype == DType::bf16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}

// Everything a primitive is built from.
using Key = std::array<int64_t, 7>;

Key key_of(const Product& p) {
  int32_t alpha, beta;
  std::memcpy(&alpha, &p.alpha, sizeof alpha);
  std::memcpy(&beta, &p.beta, sizeof beta);
  int64_t flags = p.transpose_a | p.transpose_b << 1 | (p.bias != nullptr) << 2 | (p.operands == DType::bf16) << 3 |
                  (p.result == DType::bf16) << 4;
  return {p.batch, p.m, p.n, p.k, flags, alpha, beta};
}

dnnl::memory::desc describe(int64_t batch, int64_t rows, int64_t cols, bool transpose, DType dtype) {
  Dims strides = transpose ? Dims{rows * cols, 1, rows} : Dims{rows * cols, cols, 1};
  if (batch == 1) return {{rows, cols}, data_type(dtype), {strides[1], strides[2]}};
  return {{batch, rows, cols}, data_type(dtype), strides};
}

struct Compiled {
  dnnl::memory::desc a, b, c, bias;
  dnnl::matmul primitive;
};

// oneDNN runs on as many threads as OpenMP would start.
class ThreadCount {
 public:
  explicit ThreadCount(int threads) : before_(omp_get_max_threads()) { omp_set_num_threads(threads); }
  ~ThreadCount() { omp_set_num_threads(before_); }

 private:
  int before_;
};

// The values of cpu_isa are sets of bits; `all` stands for the newest.
bool cpu_has(dnnl::cpu_isa isa) {
  dnnl::cpu_isa here = dnnl::get_effective_cpu_isa();
  int wanted = static_cast<int>(isa);
  return here == dnnl::cpu_isa::all || (static_cast<int>(here) & wanted) == wanted;
}

void convert(void* to, const void* from, int64_t count, bool to_bf16, int threads) {
  cpu::parallel_ranges(threads, count, 16384, [&](int64_t begin, int64_t end) {
    if (to_bf16)
      for (int64_t i = begin; i < end; ++i) cpu::store(static_cast<bf16*>(to)[i], static_cast<const float*>(from)[i]);
    else
      for (int64_t i = begin; i < end; ++i) static_cast<float*>(to)[i] = to_float(static_cast<const bf16*>(from)[i]);
  });
}

}  // namespace

struct Products::State {
  // Bounds the cache when alpha or beta change from call to call.
  static constexpr size_t max_primitives = 1024;

  explicit State(int threads) : threads(threads) {}

  int threads;
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::map<Key, Compiled> primitives;
  std::vector<float> wide;  // fp32 copies where oneDNN has no product of these dtypes on this CPU

  const Compiled& compile(const Product& p) {
    Key key = key_of(p);
    auto found = primitives.find(key);
    if (found != primitives.end()) return found->second;
    if (primitives.size() >= max_primitives) primitives.clear();
    Compiled compiled;
    compiled.a = describe(p.batch, p.m, p.k, p.transpose_a, p.operands);
    compiled.b = describe(p.batch, p.k, p.n, p.transpose_b, p.operands);
    compiled.c = describe(p.batch, p.m, p.n, false, p.result);
    if (p.bias) compiled.bias = describe(1, 1, p.n, false, p.operands);
    dnnl::primitive_attr attributes;
    if (p.alpha != 1) attributes.set_output_scales(0, {p.alpha});
    if (p.beta != 0) {
      dnnl::post_ops sum;
      sum.append_sum(p.beta);
      attributes.set_post_ops(sum);
    }
    dnnl::matmul::desc desc = p.bias ? dnnl::matmul::desc(compiled.a, compiled.b, compiled.bias, compiled.c)
                                     : dnnl::matmul::desc(compiled.a, compiled.b, compiled.c);
    compiled.primitive = dnnl::matmul(dnnl::matmul::primitive_desc(desc, attributes, engine));
    return primitives.emplace(key, std::move(compiled)).first->second;
  }

  void multiply(const Product& p) {
    const Compiled& compiled = compile(p);
    auto memory = [&](const dnnl::memory::desc& desc, const void* data) {
      return dnnl::memory(desc, engine, const_cast<void*>(data));
    };
    std::unordered_map<int, dnnl::memory> arguments{{DNNL_ARG_SRC, memory(compiled.a, p.a)},
                                                    {DNNL_ARG_WEIGHTS, memory(compiled.b, p.b)},
                                                    {DNNL_ARG_DST, memory(compiled.c, p.c)}};
    if (p.bias) arguments.emplace(DNNL_ARG_BIAS, memory(compiled.bias, p.bias));
    compiled.primitive.execute(stream, arguments);
    stream.wait();
  }

  // Through fp32 copies of whatever is bf16.
  void multiply_wide(const Product& p) {
    Product q = p;
    q.operands = q.result = DType::f32;
    bool narrow = p.operands == DType::bf16, narrow_result = p.result == DType::bf16;
    int64_t a = p.batch * p.m * p.k, b = p.batch * p.k * p.n, c = p.batch * p.m * p.n, bias = p.bias ? p.n : 0;
    wide.resize(static_cast<size_t>((narrow ? a + b + bias : 0) + (narrow_result ? c : 0)));
    float* next = wide.data();
    auto widen = [&](const void* from, int64_t count) {
      convert(next, from, count, false, threads);
      next += count;
      return next - count;
    };
    if (narrow) {
      q.a = widen(p.a, a);
      q.b = widen(p.b, b);
      if (p.bias) q.bias = widen(p.bias, bias);
    }
    if (narrow_result) q.c = p.beta != 0 ? widen(p.c, c) : next;
    multiply(q);
    if (narrow_result) convert(p.c, q.c, c, true, threads);
  }
};

Products::Products(int threads) : state_(new State(threads)) {}
Products::~Products() = default;

void Products::run(const Product& product) {
  if (product.m == 0 || product.n == 0) return;
  ThreadCount count(state_->threads);
  static const bool native_bf16 = cpu_has(dnnl::cpu_isa::avx512_core);
  try {
    // oneDNN multiplies bf16 into bf16 or fp32, but not fp32 into bf16.
    bool mixed = product.operands == DType::f32 && product.result == DType::bf16;
    if (mixed || (product.operands == DType::bf16 && !native_bf16))
      state_->multiply_wide(product);
    else
      state_->multiply(product);
  } catch (const dnnl::error& error) {
    fail("matrix product [{}, {}] x [{}, {}], batch {}: oneDNN says {}", product.m, product.k, product.k, product.n,
         product.batch, error.message);
  }
}

bool Products::fast_bf16() { return cpu_has(dnnl::cpu_isa::avx512_core_bf16); }
const char* Products::library() { return "oneDNN"; }

}  // namespace rowan
#endif

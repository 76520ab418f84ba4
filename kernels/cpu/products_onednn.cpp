#ifdef ROWAN_ONEDNN
#include <omp.h>
#ifdef __x86_64__
#include <cpuid.h>
#endif

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <oneapi/dnnl/dnnl.hpp>
#include <type_traits>
#include <unordered_map>

#include "base/error.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/products.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/vector.h"

namespace rowan {
namespace {

using Dims = dnnl::memory::dims;

// A product, or a piece of one: strides from row to row as the matrices lie in memory. Several matrices are contiguous.
struct Job : Product {
  int64_t a_stride, b_stride, c_stride;

  explicit Job(const Product& p)
      : Product(p), a_stride(p.transpose_a ? p.m : p.k), b_stride(p.transpose_b ? p.k : p.n), c_stride(p.n) {}
  int64_t a_rows() const { return transpose_a ? k : m; }
  int64_t a_cols() const { return transpose_a ? m : k; }
  int64_t b_rows() const { return transpose_b ? n : k; }
  int64_t b_cols() const { return transpose_b ? k : n; }
};

template <typename T>
T* advance(T* data, int64_t elements, DType dtype) {
  using Byte = std::conditional_t<std::is_const_v<T>, const char, char>;
  return static_cast<Byte*>(data) + elements * static_cast<int64_t>(size_of(dtype));
}

// Entries [begin, begin + count) along m, n or k; the pieces along k are added in order.
Job piece(Job q, char dimension, int64_t begin, int64_t count) {
  if (dimension == 'm') {
    q.m = count;
    q.a = advance(q.a, begin * (q.transpose_a ? 1 : q.a_stride), q.operands);
    q.c = advance(q.c, begin * q.c_stride, q.result);
  } else if (dimension == 'n') {
    q.n = count;
    q.b = advance(q.b, begin * (q.transpose_b ? q.b_stride : 1), q.operands);
    q.c = advance(q.c, begin, q.result);
    if (q.bias) q.bias = advance(q.bias, begin, q.operands);
  } else {
    q.k = count;
    q.a = advance(q.a, begin * (q.transpose_a ? q.a_stride : 1), q.operands);
    q.b = advance(q.b, begin * (q.transpose_b ? 1 : q.b_stride), q.operands);
    if (begin > 0) q.beta = 1, q.bias = nullptr;
  }
  return q;
}

// fn(piece) over `dimension` cut into at least `pieces`.
template <typename F>
void in_pieces(const Job& q, char dimension, int64_t pieces, F&& fn) {
  const int64_t size = dimension == 'm' ? q.m : dimension == 'n' ? q.n : q.k;
  const int64_t step = std::max<int64_t>(64, size / pieces / 64 * 64);
  for (int64_t begin = 0; begin < size; begin += step) fn(piece(q, dimension, begin, std::min(step, size - begin)));
}

dnnl::memory::data_type data_type(DType dtype) {
  return dtype == DType::bf16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}

// Everything a primitive is built from.
using Key = std::array<int64_t, 10>;

Key key_of(const Job& p) {
  int32_t alpha, beta;
  std::memcpy(&alpha, &p.alpha, sizeof alpha);
  std::memcpy(&beta, &p.beta, sizeof beta);
  int64_t flags = p.transpose_a | p.transpose_b << 1 | (p.bias != nullptr) << 2 | (p.operands == DType::bf16) << 3 |
                  (p.result == DType::bf16) << 4;
  return {p.batch, p.m, p.n, p.k, flags, alpha, beta, p.a_stride, p.b_stride, p.c_stride};
}

// `stride`: from row to row in memory, where a transposed matrix has its columns as rows.
dnnl::memory::desc describe(int64_t batch, int64_t rows, int64_t cols, bool transpose, int64_t stride, DType dtype) {
  Dims strides = transpose ? Dims{1, stride} : Dims{stride, 1};
  if (transpose && rows == 1) strides[0] = stride * cols;  // for oneDNN 3.7 a 1 there means contiguous columns
  if (batch == 1) return {{rows, cols}, data_type(dtype), strides};
  return {{batch, rows, cols}, data_type(dtype), {rows * cols, strides[0], strides[1]}};
}

struct Compiled {
  dnnl::memory::desc a, b, c, bias;
  dnnl::matmul primitive;
};

// c = alpha a b (+ bias) + beta c. From oneDNN 3 on alpha belongs to an operand and is given at execution.
dnnl::matmul make_primitive(const dnnl::engine& engine, const Compiled& of, bool bias, float alpha, float beta) {
  dnnl::primitive_attr attributes;
  dnnl::post_ops sum;
  if (beta != 0) sum.append_sum(beta);
  attributes.set_post_ops(sum);
#if DNNL_VERSION_MAJOR >= 3
  if (alpha != 1) attributes.set_scales_mask(DNNL_ARG_WEIGHTS, 0);
  using Description = dnnl::matmul::primitive_desc;
  return bias ? Description(engine, of.a, of.b, of.bias, of.c, attributes)
              : Description(engine, of.a, of.b, of.c, attributes);
#else
  if (alpha != 1) attributes.set_output_scales(0, {alpha});
  using Description = dnnl::matmul::desc;
  auto description = bias ? Description(of.a, of.b, of.bias, of.c) : Description(of.a, of.b, of.c);
  return dnnl::matmul::primitive_desc(description, attributes, engine);
#endif
}

// oneDNN runs on as many threads as OpenMP would start.
class ThreadCount {
 public:
  explicit ThreadCount(int threads) : before_(omp_get_max_threads()) { omp_set_num_threads(threads); }
  ~ThreadCount() { omp_set_num_threads(before_); }

 private:
  int before_;
};

// The values of cpu_isa are sets of bits.
bool cpu_has(dnnl::cpu_isa isa) {
  int here = static_cast<int>(dnnl::get_effective_cpu_isa()), wanted = static_cast<int>(isa);
  return (here & wanted) == wanted;
}

// AMX, or the dot product of AVX512-BF16 where it beats fp32: on Zen it has twice fp32's rate; on Intel's cores from
// Sapphire Rapids on (the first with AVX512-FP16) about half, 74 against 125 GFLOP/s a core where AMX was hidden.
bool has_fast_bf16() {
  if (cpu_has(dnnl::cpu_isa::avx512_core_amx)) return true;
  bool slow = false;
#ifdef __x86_64__
  unsigned a, b, c, d;
  slow = __builtin_cpu_is("intel") && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 23 & 1);
#endif
  return cpu_has(dnnl::cpu_isa::avx512_core_bf16) && !slow;
}

// Rows of `cols` elements copied, and converted where the dtypes differ; strides from row to row.
template <typename To, typename From>
void copy_rows(To* to, int64_t to_stride, const From* from, int64_t from_stride, int64_t rows, int64_t cols,
               int threads) {
  cpu::parallel_ranges(threads, rows, cpu::rows_per_piece(cols), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t j = 0; j < cols; ++j) cpu::store(to[i * to_stride + j], cpu::load(from[i * from_stride + j]));
  });
}

const float* stage(float* to, int64_t to_stride, const void* from, int64_t from_stride, DType dtype, int64_t rows,
                   int64_t cols, int threads) {
  cpu::with_dtype(dtype, [&](auto type) {
    copy_rows(to, to_stride, static_cast<const decltype(type)*>(from), from_stride, rows, cols, threads);
  });
  return to;
}

int64_t line(int64_t floats) { return (floats + 15) / 16 * 16; }

// oneDNN reads an fp32 b that is not transposed in place, and slowly when its rows start in the same cache sets: O =
// 768, I = 3072 gave 54 GFLOP/s a core, 117-129 with rows moved apart, and other sizes gained a tenth. The copy pays
// when there are rows of a to share it.
bool worth_moving(const Product& p) {
  bool same_sets = p.n * 4 % 2048 == 0;
  return !p.transpose_b && p.batch == 1 && p.k > 1 && p.m >= (same_sets ? 128 : 512);
}

}  // namespace

struct Products::State {
  // Floats of one copy: 32 MiB.
  static constexpr int64_t max_copy = int64_t{8} << 20;
  // Bounds the cache when alpha or beta change from call to call.
  static constexpr size_t max_primitives = 1024;

  explicit State(int threads) : threads(threads) {}

  int threads;
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::map<Key, Compiled> primitives;
  cpu::Scratch copies, result_copy;

  const Compiled& compile(const Job& p) {
    Key key = key_of(p);
    auto found = primitives.find(key);
    if (found != primitives.end()) return found->second;
    if (primitives.size() >= max_primitives) primitives.clear();
    Compiled compiled;
    compiled.a = describe(p.batch, p.m, p.k, p.transpose_a, p.a_stride, p.operands);
    compiled.b = describe(p.batch, p.k, p.n, p.transpose_b, p.b_stride, p.operands);
    compiled.c = describe(p.batch, p.m, p.n, false, p.c_stride, p.result);
    if (p.bias) compiled.bias = describe(1, 1, p.n, false, p.n, p.operands);
    compiled.primitive = make_primitive(engine, compiled, p.bias != nullptr, p.alpha, p.beta);
    return primitives.emplace(key, std::move(compiled)).first->second;
  }

  void multiply(const Job& p) {
    const Compiled& compiled = compile(p);
    auto memory = [&](const dnnl::memory::desc& desc, const void* data) {
      return dnnl::memory(desc, engine, const_cast<void*>(data));
    };
    std::unordered_map<int, dnnl::memory> arguments{{DNNL_ARG_SRC, memory(compiled.a, p.a)},
                                                    {DNNL_ARG_WEIGHTS, memory(compiled.b, p.b)},
                                                    {DNNL_ARG_DST, memory(compiled.c, p.c)}};
    if (p.bias) arguments.emplace(DNNL_ARG_BIAS, memory(compiled.bias, p.bias));
#if DNNL_VERSION_MAJOR >= 3
    const dnnl::memory::desc one_float({1}, data_type(DType::f32), Dims{1});
    if (p.alpha != 1) arguments.emplace(DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS, memory(one_float, &p.alpha));
#endif
    compiled.primitive.execute(stream, arguments);
    stream.wait();
  }

  // Into bf16 through an fp32 copy of c.
  void multiply_narrow(const Job& p) {
    if (p.batch == 1 && p.m * p.n > max_copy) {
      in_pieces(p, p.m > p.n ? 'm' : 'n', p.m * p.n / max_copy + 1, [&](const Job& q) { multiply_narrow(q); });
      return;
    }
    Job q = p;
    q.result = DType::f32;
    q.c_stride = p.n;
    float* sums = result_copy.take(p.batch * p.m * p.n);
    auto* c = static_cast<bf16*>(p.c);
    if (p.beta != 0) copy_rows(sums, p.n, c, p.c_stride, p.batch * p.m, p.n, threads);
    q.c = sums;
    multiply_staged(q);
    copy_rows(c, p.c_stride, sums, p.n, p.batch * p.m, p.n, threads);
  }

  // In fp32: operands that are bf16 are copied, and so is a b worth moving. Large ones are taken piece by piece.
  void multiply_staged(const Job& p) {
    const bool wide = p.operands == DType::bf16, apart = worth_moving(p);
    Job q = p;
    q.operands = DType::f32;
    if (wide) q.a_stride = p.batch == 1 ? line(p.a_cols()) : p.a_cols();
    if (wide || apart) q.b_stride = p.batch == 1 ? line(p.b_cols()) + (apart ? 16 : 0) : p.b_cols();
    const int64_t a_rows = p.batch * p.a_rows(), b_rows = p.batch * p.b_rows();
    const int64_t a = wide ? line(a_rows * q.a_stride) : 0, b = wide || apart ? line(b_rows * q.b_stride) : 0;
    const int64_t bias = wide && p.bias ? line(p.n) : 0;
    const int64_t longest = std::max({p.m, p.n, p.k});
    if (p.batch == 1 && a + b > max_copy && longest > 64) {
      const char dimension = longest == p.k ? 'k' : longest == p.n ? 'n' : 'm';
      in_pieces(p, dimension, (a + b) / max_copy + 1, [&](const Job& part) { multiply_staged(part); });
      return;
    }
    float *a_copy = copies.take(a + b + bias), *b_copy = a_copy + a, *bias_copy = b_copy + b;
    if (a) q.a = stage(a_copy, q.a_stride, p.a, p.a_stride, p.operands, a_rows, p.a_cols(), threads);
    if (b) q.b = stage(b_copy, q.b_stride, p.b, p.b_stride, p.operands, b_rows, p.b_cols(), threads);
    if (bias) q.bias = stage(bias_copy, p.n, p.bias, p.n, p.operands, 1, p.n, threads);
    multiply(q);
  }
};

Products::Products(int threads) : state_(new State(threads)) {}
Products::~Products() = default;

void Products::run(const Product& product) {
  if (product.m == 0 || product.n == 0) return;
  ThreadCount count(state_->threads);
  try {
    bool native = product.operands == DType::bf16 && fast_bf16();  // into bf16 or fp32; fp32 goes into fp32 only
    bool direct = product.operands == DType::f32 && product.result == DType::f32 && !worth_moving(product);
    if (native || direct)
      state_->multiply(Job(product));
    else if (product.result == DType::bf16)
      state_->multiply_narrow(Job(product));
    else
      state_->multiply_staged(Job(product));
  } catch (const dnnl::error& error) {
    fail("matrix product [{}, {}] x [{}, {}], batch {}: oneDNN says {}", product.m, product.k, product.k, product.n,
         product.batch, error.message);
  }
}

bool Products::fast_bf16() {
  static const bool fast = has_fast_bf16();
  return fast;
}
const char* Products::library() { return "oneDNN"; }

}  // namespace rowan
#endif

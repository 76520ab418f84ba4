// bf16 products by oneDNN: a thread computes one block of the result c at a time. FLOPs: 2 m n k. Lower bound on the
// time: these FLOPs at the rate of the processor's bf16 instructions.
#ifdef ROWAN_ONEDNN
#include <omp.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "kernels/cpu/products.h"

#ifdef __AVX512F__
#include <cpuid.h>
#endif

namespace rowan {
namespace {

using Dims = dnnl::memory::dims;
using ISA = dnnl::cpu_isa;

// The largest block of c that a thread computes at once.
constexpr int64_t most_rows = 512, most_columns = 512, symmetric_rows = 128;

// Keeps oneDNN from starting OpenMP threads, which would busy-wait and slow down the threads of the pool.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }

 private:
  int before_;
};

// The values of cpu_isa are bit masks.
[[maybe_unused]] bool cpu_has(ISA isa) {
  int here = static_cast<int>(dnnl::get_effective_cpu_isa()), wanted = static_cast<int>(isa);
  return (here & wanted) == wanted;
}

// True at level v4 if the processor has AMX, or if it has AVX512-BF16 and is not an Intel processor with AVX512-FP16
// (Sapphire Rapids and later). On one core of such an Intel processor, with AMX disabled, the dot product of
// AVX512-BF16 was slower than fp32: 74 against 125 GFLOP/s.
bool has_fast_bf16() {
#ifdef __AVX512F__
  if (cpu_has(ISA::avx512_core_amx)) return true;
  unsigned a, b, c, d;
  const bool slow = __builtin_cpu_is("intel") && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 23 & 1);
  return cpu_has(ISA::avx512_core_bf16) && !slow;
#else
  return false;
#endif
}

// Rows [row, row + rows) and columns [column, column + columns) of c.
struct Part {
  int64_t row, rows, column, columns;
};

// The blocks of c. If c is symmetric, they cover strips of symmetric_rows rows, each up to the end of its diagonal
// block. On one thread of an AMD EPYC with AVX512-BF16, symmetric products with strips of 128 rows took 0.64 times as
// long as full products for 768 x 768, and 0.79 times for 384 x 384. With strips of 256 rows, symmetric products took
// 0.70 and 1.1 times as long.
std::vector<Part> parts_of(const Product& p) {
  const int64_t down = p.symmetric ? symmetric_rows : most_rows;
  std::vector<Part> parts;
  for (int64_t row = 0; row < p.m; row += down) {
    const int64_t rows = std::min(down, p.m - row), end = p.symmetric ? row + rows : p.n;
    for (int64_t column = 0; column < end; column += most_columns)
      parts.push_back({row, rows, column, std::min(most_columns, end - column)});
  }
  return parts;
}

// `stride` is the distance between consecutive rows in memory, or between consecutive columns if `transpose`.
dnnl::memory::desc describe(int64_t rows, int64_t cols, bool transpose, int64_t stride, DType dtype) {
  Dims strides = transpose ? Dims{1, stride} : Dims{stride, 1};
  // With one row, oneDNN 3.7 mistakes a row stride of 1 for contiguous columns.
  if (transpose && rows == 1) strides[0] = stride * cols;
  return {{rows, cols}, dtype == DType::bf16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32, strides};
}

struct Compiled {
  dnnl::memory::desc a, b, c, bias, scratch;
  dnnl::matmul primitive;
};

// Builds c = alpha a b (+ bias) + beta c. In oneDNN 3 and later, alpha is a scale of an operand and is passed at
// execution.
void compile(Compiled& of, const dnnl::engine& engine, bool bias, float alpha, float beta) {
  dnnl::primitive_attr attributes;
  dnnl::post_ops sum;
  if (beta != 0) sum.append_sum(beta);
  attributes.set_post_ops(sum);
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
#if DNNL_VERSION_MAJOR >= 3
  if (alpha != 1) attributes.set_scales_mask(DNNL_ARG_WEIGHTS, 0);
  using Description = dnnl::matmul::primitive_desc;
  const auto description = bias ? Description(engine, of.a, of.b, of.bias, of.c, attributes)
                                : Description(engine, of.a, of.b, of.c, attributes);
#else
  if (alpha != 1) attributes.set_output_scales(0, {alpha});
  using Description = dnnl::matmul::desc;
  const auto shapes = bias ? Description(of.a, of.b, of.bias, of.c) : Description(of.a, of.b, of.c);
  const dnnl::matmul::primitive_desc description(shapes, attributes, engine);
#endif
  of.scratch = description.scratchpad_desc();
  of.primitive = dnnl::matmul(description);
}

// The primitives and the scratch memory of one thread.
class Worker {
 public:
  void run(const Product& p, int64_t entry, const Part& part) {
    OneThread alone;
    const Compiled& compiled = find(p, part);
    const auto memory = [&](const dnnl::memory::desc& desc, const void* data, int64_t elements, DType dtype) {
      const char* at = static_cast<const char*>(data) + elements * static_cast<int64_t>(size_of(dtype));
      return dnnl::memory(desc, engine_, const_cast<char*>(at));
    };
    const int64_t a = entry * p.m * p.k + part.row * (p.transpose_a ? 1 : p.k);
    const int64_t b = entry * p.k * p.n + part.column * (p.transpose_b ? p.k : 1);
    const int64_t c = (entry * p.m + part.row) * p.n + part.column;
    const auto floats = static_cast<int64_t>(compiled.scratch.get_size() / sizeof(float) + 1);
    std::unordered_map<int, dnnl::memory> arguments{
        {DNNL_ARG_SRC, memory(compiled.a, p.a, a, p.operands)},
        {DNNL_ARG_WEIGHTS, memory(compiled.b, p.b, b, p.operands)},
        {DNNL_ARG_DST, memory(compiled.c, p.c, c, p.result)},
        {DNNL_ARG_SCRATCHPAD, dnnl::memory(compiled.scratch, engine_, scratch_.take(floats))}};
    if (p.bias) arguments.emplace(DNNL_ARG_BIAS, memory(compiled.bias, p.bias, part.column, p.operands));
#if DNNL_VERSION_MAJOR >= 3
    const dnnl::memory::desc one_float({1}, dnnl::memory::data_type::f32, Dims{1});
    float alpha = p.alpha;
    if (p.alpha != 1)
      arguments.emplace(DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS, dnnl::memory(one_float, engine_, &alpha));
#endif
    compiled.primitive.execute(stream_, arguments);
    stream_.wait();
  }

 private:
  // The values that determine a primitive.
  using Key = std::array<int64_t, 8>;
  // The largest number of primitives to keep. There is a limit because alpha or beta may change with every call.
  static constexpr size_t most_primitives = 1024;

  const Compiled& find(const Product& p, const Part& part) {
    int32_t alpha, beta;
    std::memcpy(&alpha, &p.alpha, sizeof alpha);
    std::memcpy(&beta, &p.beta, sizeof beta);
    const int64_t flags =
        p.transpose_a | p.transpose_b << 1 | (p.bias != nullptr) << 2 | (p.result == DType::bf16) << 3;
    const Key key{part.rows, part.columns, p.m, p.n, p.k, flags, alpha, beta};
    auto found = primitives_.find(key);
    if (found != primitives_.end()) return found->second;
    if (primitives_.size() >= most_primitives) primitives_.clear();
    Compiled of;
    of.a = describe(part.rows, p.k, p.transpose_a, p.transpose_a ? p.m : p.k, p.operands);
    of.b = describe(p.k, part.columns, p.transpose_b, p.transpose_b ? p.k : p.n, p.operands);
    of.c = describe(part.rows, part.columns, false, p.n, p.result);
    if (p.bias) of.bias = describe(1, part.columns, false, part.columns, p.operands);
    compile(of, engine_, p.bias != nullptr, p.alpha, p.beta);
    return primitives_.emplace(key, std::move(of)).first->second;
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  std::map<Key, Compiled> primitives_;
  cpu::Scratch scratch_;
};

}  // namespace

struct Bf16Products::State {
  ThreadPool& threads;
  std::vector<Worker> workers;

  explicit State(ThreadPool& pool) : threads(pool), workers(static_cast<size_t>(pool.size())) {}
};

Bf16Products::Bf16Products(ThreadPool& threads) {
  if (fast()) state_ = std::make_unique<State>(threads);
}
Bf16Products::~Bf16Products() = default;

void Bf16Products::run(const Product& p) {
  if (p.m == 0 || p.n == 0) return;
  const std::vector<Part> parts = parts_of(p);
  const auto count = static_cast<int64_t>(parts.size());
  try {
    state_->threads.run(p.batch * count, [&](int64_t unit, int thread) {
      state_->workers[static_cast<size_t>(thread)].run(p, unit / count, parts[static_cast<size_t>(unit % count)]);
    });
  } catch (const dnnl::error& error) {
    fail("matrix product [{}, {}] x [{}, {}], batch {}: oneDNN says {}", p.m, p.k, p.k, p.n, p.batch, error.message);
  }
}

bool Bf16Products::fast() {
  static const bool fast = has_fast_bf16();
  return fast;
}

std::string Bf16Products::describe() {
  return fmt::format("oneDNN {}.{} {}", DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR,
                     fast() ? "for bf16 products" : "not used: no bf16 instructions faster than fp32 at this level");
}

}  // namespace rowan
#else
#include "base/error.h"
#include "kernels/cpu/products.h"

namespace rowan {

struct Bf16Products::State {};
Bf16Products::Bf16Products(ThreadPool&) {}
Bf16Products::~Bf16Products() = default;
bool Bf16Products::fast() { return false; }
void Bf16Products::run(const Product&) { fail("this build has no oneDNN"); }
std::string Bf16Products::describe() { return "built without oneDNN, so bf16 instructions are not used"; }

}  // namespace rowan
#endif

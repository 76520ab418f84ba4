// Token and position embeddings. The backward groups the tokens by id, so that each row of the table is updated by one
// thread, in a fixed order.
// For each value of `out`, the forward reads and writes 2 values in total, or 3 with positions. The backward reads dout
// once for tokens and once for positions, and reads and writes each row that it updates. Lower bound on the time: this
// traffic at the rate of a copy.
// What was tried:
// 1. A counting sort for the grouping, which replaced a comparison sort.
// 2. Sums in memory. For rows of 128 in cache, they took about 4 times as long as sums in registers.
#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/tile.h"
#include "kernels/cpu/vector.h"

namespace rowan {
namespace {

// Calls f with a value of table's element type and a value of out's element type.
template <typename F>
void with_types(DType table, DType out, F&& f) {
  if (table == out)
    cpu::with_dtype(table, [&](auto type) { f(type, type); });
  else
    f(bf16{}, float{});
}

// to[0, width) += the sum of the rows of `from` whose numbers are rows[0, count), taken in fp32 and in this order.
template <typename T, typename F>
void add_rows(T* to, const F* from, int64_t width, const int64_t* rows, int64_t count) {
  constexpr int64_t vectors = 8, block = vectors * cpu::lanes;
  float sums[block];
  for (int64_t begin = 0; begin < width; begin += block) {
    const int64_t size = std::min(block, width - begin);
    if (size == block) {
      cpu::Vector in_registers[vectors] = {};
      for (int64_t r = 0; r < count; ++r)
#pragma GCC unroll 8
        for (int64_t v = 0; v < vectors; ++v)
          in_registers[v] += cpu::load_vector(from + rows[r] * width + begin + v * cpu::lanes);
      std::memcpy(sums, in_registers, sizeof sums);
    } else {
      std::fill(sums, sums + size, 0.0f);
      for (int64_t r = 0; r < count; ++r) {
        const F* row = from + rows[r] * width + begin;
#pragma omp simd
        for (int64_t i = 0; i < size; ++i) sums[i] += cpu::load(row[i]);
      }
    }
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) cpu::store(to[begin + i], cpu::load(to[begin + i]) + sums[i]);
  }
}

// d_table[ids[n]] += dout[n].
void scatter_rows(Tensor d_table, Tensor dout, const std::vector<int64_t>& ids, ThreadPool& threads) {
  struct Group {
    int64_t id, begin, count;  // order[begin, begin + count) are the rows of dout with this id
  };
  std::vector<Group> groups;
  std::vector<int64_t> places(static_cast<size_t>(d_table.dim(0)), 0), order(ids.size());
  for (int64_t id : ids) ++places[id];
  for (int64_t id = 0, begin = 0; id < d_table.dim(0); ++id) {
    const int64_t count = std::exchange(places[id], begin);
    if (count > 0) groups.push_back({id, begin, count});
    begin += count;
  }
  for (size_t n = 0; n < ids.size(); ++n) order[places[ids[n]]++] = static_cast<int64_t>(n);
  const int64_t width = d_table.cols();
  cpu::with_dtype(d_table.dtype, [&](auto to) {
    cpu::with_dtype(dout.dtype, [&](auto from) {
      auto* table = d_table.as<decltype(to)>();
      threads.run(static_cast<int64_t>(groups.size()), [&](int64_t g, int) {
        const Group& group = groups[g];
        add_rows(table + group.id * width, dout.as<decltype(from)>(), width, order.data() + group.begin, group.count);
      });
    });
  });
}

}  // namespace

void CpuBackend::do_embedding_forward(Tensor out, Tensor tokens, Tensor table, Tensor positions, int64_t seq,
                                      Tensor position_ids) {
  const int32_t* ids = tokens.as<int32_t>();
  int64_t width = table.cols();
  with_types(table.dtype, out.dtype, [&](auto type, auto result) {
    using T = decltype(type);
    using O = decltype(result);
    cpu::parallel_ranges(threads_, tokens.numel(), cpu::rows_per_piece(width), [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        O* to = out.as<O>() + n * width;
        const T* word = table.as<T>() + ids[n] * width;
        if (positions.empty()) {
#pragma omp simd
          for (int64_t i = 0; i < width; ++i) cpu::store(to[i], cpu::load(word[i]));
          continue;
        }
        const int64_t place = position_ids.empty() ? n % seq : position_ids.as<int32_t>()[n];
        const T* position = positions.as<T>() + place * width;
#pragma omp simd
        for (int64_t i = 0; i < width; ++i) cpu::store(to[i], cpu::load(word[i]) + cpu::load(position[i]));
      }
    });
  });
}

void CpuBackend::do_embedding_backward(Tensor d_table, Tensor d_positions, Tensor dout, Tensor tokens, int64_t seq) {
  std::vector<int64_t> ids(tokens.as<int32_t>(), tokens.as<int32_t>() + tokens.numel());
  scatter_rows(d_table, dout, ids, threads_);
  if (d_positions.empty()) return;
  for (int64_t n = 0; n < tokens.numel(); ++n) ids[static_cast<size_t>(n)] = n % seq;
  scatter_rows(d_positions, dout, ids, threads_);
}

}  // namespace rowan

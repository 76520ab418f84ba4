// Matrix products in fp32, for operands in fp32 or bf16. If matrix b cannot be read in place, it is packed into panels
// that tile products read contiguously. Each thread computes blocks of the result c. Sums over k are split in the same
// way for any number of threads. FLOPs: 2 m n k. Lower bound on the time: these FLOPs at the rate of tile products
// (tile.h).
// What was tried:
// 1. oneDNN for fp32 products. The tiles of this file replaced it.
// 2. Copying eight columns of matrix a at a time if the matrix is transposed. The gain was not recorded.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/products.h"
#include "kernels/cpu/tile.h"
#include "kernels/cpu/transpose.h"
#include "kernels/cpu/vector.h"

namespace rowan {
namespace {

using cpu::lanes;
using cpu::round_up;

// panel: the columns of a tile; matrix b is packed in panels of this width. group: the rows of a tile. depth: the
// values of k that one tile product sums over, few enough that this part of a panel stays in cache. The partial sums
// are added up in order of k.
constexpr int64_t panel = cpu::block_vectors * lanes, depth = lanes == 16 ? 384 : 256, group = cpu::block_rows;
// The largest block of c that a thread computes at once. Its sums, together with a copy of most_rows x depth values of
// matrix a, need less than 350 KB.
constexpr int64_t most_rows = 16 * group, most_columns = 512;
constexpr int64_t most_packed = int64_t{4} << 20;  // most floats of b packed at once; 512 columns may have more
constexpr int64_t few_rows = 8;                    // with at most this many rows, packing b does not pay off
constexpr int64_t most_unpacked = 512;             // with more columns than this, tiles do not read b in place
// Up to this m, matrix a is read in place if it is transposed and in fp32. With a larger m, the rows of the matrix
// [k, m] are at least 4 KB apart in memory, and they evict each other from the cache.
constexpr int64_t most_uncopied = 1023;
constexpr int64_t at_once = 8;  // number of values of matrix a that are copied together, at least `group`
static_assert(at_once >= group);

// One product, with operands of type T and a result of type R. Several threads may call the methods at the same time.
template <typename T, typename R>
class Matrices {
 public:
  Matrices(const Product& p, int64_t entry)
      : p_(p),
        a_(static_cast<const T*>(p.a) + entry * p.m * p.k),
        b_(static_cast<const T*>(p.b) + entry * p.k * p.n),
        bias_(static_cast<const T*>(p.bias)),
        c_(static_cast<R*>(p.c) + entry * p.m * p.n),
        packs_(!as_it_is || p.transpose_b || p.alpha != 1 || p.n > most_unpacked || p.n % lanes != 0 ||
               reinterpret_cast<uintptr_t>(b_) % sizeof(cpu::Vector) != 0),
        copies_(!as_it_is || (p.transpose_a && p.m > most_uncopied)) {}

  // Whether matrix b has to be packed.
  bool packs() const { return packs_; }

  // Packs rows [begin, begin + depth) of the panel that begins at column first_column + j. The layout of `packed` is
  // [panels][k][panel].
  void pack(float* packed, int64_t first_column, int64_t columns, int64_t j, int64_t begin) const {
    const int64_t count = std::min(depth, p_.k - begin), width = std::min(panel, columns - j);
    float* to = packed + j * p_.k + begin * panel;
    const int64_t column = first_column + j;
    if (p_.transpose_b) {
      cpu::transpose(to, panel, b_ + column * p_.k + begin, p_.k, width, count);
    } else {
      for (int64_t x = 0; x < count; ++x) {
        const T* from = b_ + (begin + x) * p_.n + column;
#pragma omp simd
        for (int64_t i = 0; i < width; ++i) to[x * panel + i] = cpu::load(from[i]);
      }
    }
    for (int64_t x = 0; x < count; ++x) {
      for (int64_t i = width; i < panel; ++i) to[x * panel + i] = 0;
      if (p_.alpha != 1)
        for (int64_t i = 0; i < panel; ++i) to[x * panel + i] *= p_.alpha;
    }
  }

  static constexpr int64_t left_floats = most_rows * depth;
  static constexpr int64_t own_floats = left_floats + most_rows * most_columns;

  // Computes rows [row, row + rows) and columns [first_column + j, first_column + j + width) of c. `packed` starts with
  // column first_column of b. `own` is the thread's scratch memory of own_floats floats.
  void block(float* own, const float* packed, int64_t first_column, int64_t row, int64_t rows, int64_t j,
             int64_t width) const {
    float *left = own, *sums = own + left_floats;
    const int64_t column = first_column + j, direct = in_place ? width / panel * panel : 0;
    if (direct && p_.beta != 0 && p_.beta != 1)
      for (int64_t i = row; i < row + rows; ++i)
        for (int64_t x = 0; x < direct; ++x)
          cpu::store(c_[i * p_.n + column + x], p_.beta * cpu::load(at(i, column + x)));
    const int64_t ends = p_.k > 0 ? p_.k : 1;
    for (int64_t begin = 0; begin < ends; begin += depth) {
      const int64_t count = std::min(depth, p_.k - begin);
      if (copies_) gather(left, row, rows, begin, count);
      for (int64_t x = 0; x < width; x += panel) {
        const float* right = packed + (j + x) * p_.k + begin * panel;
        if constexpr (as_it_is)
          if (!packs_) right = b_ + begin * p_.n + column + x;
        // If the result is symmetric, skips groups of rows that are above the diagonal in all columns of the panel.
        const int64_t above = p_.symmetric ? std::max<int64_t>(0, column + x - row) / group * group : 0;
        if (above >= rows) break;
        const float* part = left + above * count;
        if constexpr (in_place) {
          if (x < direct) {
            multiply(c_ + (row + above) * p_.n + column + x, p_.n, part, row + above, rows - above, begin, right, panel,
                     count, begin > 0 || p_.beta != 0);
            continue;
          }
        }
        multiply(sums + above * most_columns + x, most_columns, part, row + above, rows - above, begin, right,
                 round_up(std::min(panel, width - x), lanes), count, begin > 0);
      }
    }
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t end = p_.symmetric ? std::min(width, row + i + 1 - column) : width;
      finish(row + i, column, sums + i * most_columns, direct, end);
    }
  }

  // Computes columns [column, column + width) of c without packing b. c has at most few_rows rows. `left` is the result
  // of gather_all: m * k floats.
  void few(const float* left, int64_t column, int64_t width) const {
    float sums[few_rows][most_columns] = {};
    if (p_.transpose_b) {
      for (int64_t j = 0; j < width; ++j) {
        const T* right = b_ + (column + j) * p_.k;
        for (int64_t i = 0; i < p_.m; ++i) {
          const float* row = left + i * p_.k;
          float sum = 0;
#pragma omp simd reduction(+ : sum)
          for (int64_t x = 0; x < p_.k; ++x) sum += row[x] * cpu::load(right[x]);
          sums[i][j] = p_.alpha * sum;
        }
      }
    } else {
      for (int64_t x = 0; x < p_.k; ++x) {
        const T* right = b_ + x * p_.n + column;
        for (int64_t i = 0; i < p_.m; ++i) {
          const float factor = p_.alpha * left[i * p_.k + x];
#pragma omp simd
          for (int64_t j = 0; j < width; ++j) sums[i][j] += factor * cpu::load(right[j]);
        }
      }
    }
    for (int64_t i = 0; i < p_.m; ++i) finish(i, column, sums[i], 0, width);
  }

  // to[m][k] = op(a).
  void gather_all(float* to) const {
    if (p_.transpose_a)
      cpu::transpose(to, p_.k, a_, p_.m, p_.k, p_.m);
    else
      for (int64_t i = 0; i < p_.m * p_.k; ++i) to[i] = cpu::load(a_[i]);
  }

 private:
  static constexpr bool in_place = std::is_same_v<R, float>;
  static constexpr bool as_it_is = std::is_same_v<T, float>;

  R at(int64_t i, int64_t j) const { return c_[i * p_.n + j]; }

  // Copies the part of matrix a that multiply() reads. The layout is [rows][count]. If the matrix is transposed, the
  // rows of c are divided into groups, and the layout is [groups][count][group].
  void gather(float* left, int64_t row, int64_t rows, int64_t begin, int64_t count) const {
    if (p_.transpose_a) {
      // Reads each row of matrix a from left to right, and copies its values to the groups that they belong to.
      for (int64_t x = 0; x < count; ++x) {
        const T* from = a_ + (begin + x) * p_.m + row;
        for (int64_t i = 0; i < rows; i += group) {
          const int64_t height = std::min(group, rows - i);
          float* to = left + i * count + x * height;
          if (height == group && x + 1 < count && row + i + at_once <= p_.m) {
            for (int64_t y = 0; y < at_once; y += 4) {  // the copy for the next x overwrites the surplus
              const auto values = cpu::load_four<float>(from + i + y);
              std::memcpy(to + y, &values, sizeof values);
            }
          } else {
            for (int64_t y = 0; y < height; ++y) to[y] = cpu::load(from[i + y]);
          }
        }
      }
    } else {
      for (int64_t i = 0; i < rows; ++i) {
        const T* from = a_ + (row + i) * p_.k + begin;
#pragma omp simd
        for (int64_t x = 0; x < count; ++x) left[i * count + x] = cpu::load(from[x]);
      }
    }
  }

  void multiply(float* c, int64_t stride, const float* left, int64_t row, int64_t rows, int64_t begin,
                const float* right, int64_t width, int64_t count, bool accumulate) const {
    const int64_t right_stride = packs_ ? panel : p_.n;
    if (p_.transpose_a) {
      for (int64_t i = 0; i < rows; i += group) {
        const int64_t height = std::min(group, rows - i);
        const float* from = left + i * count;
        int64_t from_stride = height;
        if constexpr (as_it_is)
          if (!copies_) from = a_ + begin * p_.m + row + i, from_stride = p_.m;
        cpu::tile_product<true>(c + i * stride, stride, from, from_stride, right, right_stride, height, width, count,
                                accumulate);
      }
      return;
    }
    const float* from = left;
    int64_t from_stride = count;
    if constexpr (as_it_is) from = a_ + row * p_.k + begin, from_stride = p_.k;
    cpu::tile_product<false>(c, stride, from, from_stride, right, right_stride, rows, width, count, accumulate);
  }

  // Completes row i of a block. The first `direct` columns already hold their sums in c. The sums of the other columns
  // are in `sums`; beta c is added to them, and they are stored. The bias is added to all columns.
  void finish(int64_t i, int64_t column, float* sums, int64_t direct, int64_t end) const {
    R* to = c_ + i * p_.n + column;
    const float beta = p_.beta;
    if (bias_) {
      const T* bias = bias_ + column;
#pragma omp simd
      for (int64_t x = 0; x < direct; ++x) cpu::store(to[x], cpu::load(to[x]) + cpu::load(bias[x]));
#pragma omp simd
      for (int64_t x = direct; x < end; ++x) sums[x] += cpu::load(bias[x]);
    }
    if (beta != 0) {
#pragma omp simd
      for (int64_t x = direct; x < end; ++x) sums[x] += beta * cpu::load(to[x]);
    }
#pragma omp simd
    for (int64_t x = direct; x < end; ++x) cpu::store(to[x], sums[x]);
  }

  const Product& p_;
  const T *a_, *b_, *bias_;
  R* c_;
  const bool packs_, copies_;
};

int64_t pieces(int64_t size, int64_t step) { return (size + step - 1) / step; }

template <typename T, typename R>
void run_few(ThreadPool& threads, const Product& p, float* left) {
  constexpr int64_t columns = 64;
  for (int64_t entry = 0; entry < p.batch; ++entry) {
    const Matrices<T, R> matrices(p, entry);
    matrices.gather_all(left);
    threads.run(pieces(p.n, columns),
                [&](int64_t j, int) { matrices.few(left, j * columns, std::min(columns, p.n - j * columns)); });
  }
}

// Many small products: a thread computes one product at a time.
template <typename T, typename R>
void run_batch(ThreadPool& threads, const Product& p, cpu::Scratch& memory) {
  const int64_t packed = round_up(p.n, panel) * p.k, floats = round_up(packed, lanes) + Matrices<T, R>::own_floats;
  float* all = memory.take(threads.size() * floats);
  threads.run(p.batch, [&](int64_t entry, int thread) {
    const Matrices<T, R> matrices(p, entry);
    float *right = all + thread * floats, *own = right + round_up(packed, lanes);
    if (matrices.packs())
      for (int64_t j = 0; j < p.n; j += panel)
        for (int64_t begin = 0; begin < p.k; begin += depth) matrices.pack(right, 0, p.n, j, begin);
    for (int64_t row = 0; row < p.m; row += most_rows)
      for (int64_t j = 0; j < p.n; j += most_columns)
        matrices.block(own, right, 0, row, std::min(most_rows, p.m - row), j, std::min(most_columns, p.n - j));
  });
}

template <typename T, typename R>
void run_large(ThreadPool& threads, const Product& p, cpu::Scratch& packed_memory, cpu::Scratch& own_memory) {
  constexpr int64_t floats = Matrices<T, R>::own_floats;
  const int64_t columns = std::max(most_packed / std::max<int64_t>(1, p.k) / most_columns, int64_t{1}) * most_columns;
  float* packed = packed_memory.take(round_up(std::min(columns, p.n), panel) * p.k);
  float* own = own_memory.take(threads.size() * floats);
  for (int64_t entry = 0; entry < p.batch; ++entry) {
    const Matrices<T, R> matrices(p, entry);
    for (int64_t first = 0; first < p.n; first += columns) {
      const int64_t width = std::min(columns, p.n - first), depths = pieces(p.k, depth);
      if (matrices.packs())
        threads.run(pieces(width, panel) * depths, [&](int64_t unit, int) {
          matrices.pack(packed, first, width, unit / depths * panel, unit % depths * depth);
        });
      // Makes blocks smaller if there are too few blocks to keep all threads busy to the end. If matrix a is
      // transposed, each block may copy the columns of matrix a that it needs. With narrower blocks, more blocks would
      // copy the same columns, so the rows of a block are halved first.
      int64_t rows = most_rows, cols = most_columns;
      const auto too_few = [&] { return pieces(p.m, rows) * pieces(width, cols) < 4 * threads.size(); };
      if (p.transpose_a)
        while (too_few() && rows > 4 * group) rows /= 2;
      while (too_few() && cols > 2 * panel) cols /= 2;
      while (too_few() && rows > 4 * group) rows /= 2;
      const int64_t across = pieces(width, cols);
      threads.run(pieces(p.m, rows) * across, [&](int64_t unit, int thread) {
        const int64_t row = unit / across * rows, j = unit % across * cols;
        if (p.symmetric && first + j >= row + rows) return;
        matrices.block(own + thread * floats, packed, first, row, std::min(rows, p.m - row), j,
                       std::min(cols, width - j));
      });
    }
  }
}

}  // namespace

void TileProducts::run(const Product& p) {
  if (p.m == 0 || p.n == 0) return;
  cpu::with_dtype(p.operands, [&](auto operand) {
    cpu::with_dtype(p.result, [&](auto result) {
      using T = decltype(operand);
      using R = decltype(result);
      if (p.m <= few_rows)
        run_few<T, R>(threads_, p, packed_.take(p.m * p.k));
      else if (p.batch > 1 && p.m * p.n * p.k <= int64_t{1} << 22)
        run_batch<T, R>(threads_, p, packed_);
      else
        run_large<T, R>(threads_, p, packed_, own_);
    });
  });
}

}  // namespace rowan

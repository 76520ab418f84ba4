// Linear layers and matrix products. The classes of kernels/cpu/products.h compute the products. The source files of
// these classes state the FLOPs and lower bounds. A bias gradient is a separate pass over dout, which takes at least
// the time of reading dout once at the rate of a copy.
#include <algorithm>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/transpose.h"
#include "kernels/cpu/vector.h"

namespace rowan {
namespace {

// d_bias[O] = column sums of dout[N, O] (+ d_bias if accumulate). Rows are summed in blocks, which has a smaller
// rounding error than one long sum.
template <typename B, typename T>
void sum_columns(B* d_bias, const T* dout, int64_t rows, int64_t width, bool accumulate, ThreadPool& threads) {
  constexpr int64_t columns = 256, block = 64;
  cpu::parallel_ranges(threads, width, columns, [&](int64_t begin, int64_t end) {
    float total[columns] = {}, part[columns];
    int64_t size = end - begin;
    for (int64_t first = 0; first < rows; first += block) {
      std::fill(part, part + size, 0.0f);
      for (int64_t n = first; n < std::min(rows, first + block); ++n) {
        const T* row = dout + n * width + begin;
#pragma omp simd
        for (int64_t i = 0; i < size; ++i) part[i] += cpu::load(row[i]);
      }
#pragma omp simd
      for (int64_t i = 0; i < size; ++i) total[i] += part[i];
    }
    for (int64_t i = 0; i < size; ++i)
      cpu::store(d_bias[begin + i], (accumulate ? cpu::load(d_bias[begin + i]) : 0.0f) + total[i]);
  });
}

// c[j, i] = c[i, j] for all i > j in each of `batch` matrices [n, n].
template <typename T>
void mirror(T* c, int64_t n, int64_t batch, ThreadPool& threads) {
  constexpr int64_t side = 16, rows = 64;  // side: of a block transposed at once; rows: in one thread's piece of work
  const int64_t pieces = (n + rows - 1) / rows;
  cpu::parallel_for(threads, batch * pieces, [&](int64_t piece) {
    T* matrix = c + piece / pieces * n * n;
    const int64_t first = piece % pieces * rows;
    for (int64_t begin = first; begin < std::min(n, first + rows); begin += side) {
      const int64_t end = std::min(n, begin + side);
      for (int64_t j = 0; j < begin; j += side)
        cpu::transpose(matrix + j * n + begin, n, matrix + begin * n + j, n, end - begin, side);
      for (int64_t j = begin; j < end; ++j)
        for (int64_t i = j + 1; i < end; ++i) matrix[j * n + i] = matrix[i * n + j];
    }
  });
}

}  // namespace

void CpuBackend::multiply(const Product& product) {
  if (product.operands == DType::bf16 && product.m > 1 && Bf16Products::fast())
    bf16_products_.run(product);
  else
    tile_products_.run(product);
  if (product.symmetric)
    cpu::with_dtype(product.result, [&](auto type) {
      mirror(static_cast<decltype(type)*>(product.c), product.n, product.batch, threads_);
    });
}

void CpuBackend::do_linear_forward(Tensor out, Tensor in, Tensor weight, Tensor bias) {
  Product p;
  p.m = in.dim(0), p.n = weight.dim(0), p.k = in.dim(1);
  p.transpose_b = true;
  p.operands = in.dtype, p.result = out.dtype;
  p.a = in.data, p.b = weight.data, p.bias = bias.data, p.c = out.data;
  multiply(p);
}

void CpuBackend::do_linear_backward_input(Tensor din, Tensor dout, Tensor weight, bool accumulate) {
  Product p;
  p.m = dout.dim(0), p.n = weight.dim(1), p.k = dout.dim(1);
  p.operands = dout.dtype, p.result = din.dtype;
  p.a = dout.data, p.b = weight.data, p.c = din.data;
  p.beta = accumulate ? 1.0f : 0.0f;
  multiply(p);
}

void CpuBackend::do_linear_backward_weight(Tensor d_weight, Tensor d_bias, Tensor dout, Tensor in, bool accumulate) {
  Product p;
  p.m = dout.dim(1), p.n = in.dim(1), p.k = dout.dim(0);
  p.transpose_a = true;
  p.operands = dout.dtype, p.result = d_weight.dtype;
  p.a = dout.data, p.b = in.data, p.c = d_weight.data;
  p.beta = accumulate ? 1.0f : 0.0f;
  multiply(p);
  if (d_bias.empty()) return;
  cpu::with_dtype(d_bias.dtype, [&](auto b) {
    cpu::with_dtype(dout.dtype, [&](auto t) {
      sum_columns(d_bias.as<decltype(b)>(), dout.as<decltype(t)>(), dout.dim(0), dout.dim(1), accumulate, threads_);
    });
  });
}

void CpuBackend::do_matmul(Tensor c, const Operand& a, const Operand& b, float alpha, float beta, Result result) {
  Product p;
  p.batch = c.rank == 3 ? c.dim(0) : 1;
  p.m = a.rows(), p.n = b.cols(), p.k = a.cols();
  p.transpose_a = a.transposed, p.transpose_b = b.transposed;
  p.operands = a.x.dtype, p.result = c.dtype;
  p.a = a.x.data, p.b = b.x.data, p.c = c.data;
  p.alpha = alpha, p.beta = beta;
  p.symmetric = result == Result::symmetric;
  multiply(p);
}

}  // namespace rowan

// Matrix products whose result c is symmetric. cuBLASLt computes each strip of rows of c only up to the end of the
// strip's diagonal block (symmetric_strip). Then a kernel copies the lower triangle to the upper triangle.
// FLOPs of [n, k] times [k, n] in s strips: n^2 k (1 + 1/s). Lower bound on time: these FLOPs at the rate of the tensor
// cores, plus one pass that reads one half of c and writes the other half.
#include <algorithm>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/vector.cuh"
#include "kernels/gpu_workspace.h"

namespace rowan {
namespace {

using namespace cuda;

constexpr int side = 32, lines = 8;  // a block of 32 * 8 threads copies tiles of 32 * 32 elements

// c[j, i] = c[i, j] for all i > j in each of `batch` matrices [n, n]. Tiles pass through shared memory, so that warps
// read and write whole rows of a tile. The tiles on and below the diagonal are counted row by row: tile number `at` is
// in row r of tiles, where r (r + 1) / 2 <= at < (r + 1) (r + 2) / 2.
template <typename T>
__global__ void mirror_kernel(T* c, int64_t n, int64_t batch) {
  SHARED_ARRAY(T, tile, side * (side + 1));
  const int64_t down = (n + side - 1) / side, tiles = down * (down + 1) / 2;
  const int x = threadIdx.x % side, y = threadIdx.x / side;
  for (int64_t unit = blockIdx.x; unit < batch * tiles; unit += gridDim.x) {
    const int64_t at = unit % tiles;
    int64_t r = int64_t((sqrtf(8.0f * float(at) + 1.0f) - 1.0f) / 2.0f);
    while (r * (r + 1) / 2 > at) --r;
    while ((r + 1) * (r + 2) / 2 <= at) ++r;
    const int64_t row = r * side, column = (at - r * (r + 1) / 2) * side;
    T* matrix = c + unit / tiles * n * n;
    for (int line = y; line < side; line += lines)
      if (row + line < n && column + x < n) tile[line * (side + 1) + x] = matrix[(row + line) * n + column + x];
    __syncthreads();
    for (int line = y; line < side; line += lines)
      if (column + line < n && row + x < n && row + x > column + line)
        matrix[(column + line) * n + row + x] = tile[x * (side + 1) + line];
    __syncthreads();
  }
}

}  // namespace

void CudaBackend::multiply_symmetric(Tensor c, Tensor source, const Operand& a, const Operand& b, float alpha,
                                     float beta) {
  const int64_t n = c.cols(), strip = symmetric_strip(n);
  auto after = [](const Tensor& x, int64_t elements) {
    return static_cast<char*>(x.data) + elements * static_cast<int64_t>(size_of(x.dtype));
  };
  for (int64_t begin = 0; begin < n; begin += strip) {
    Product product = row_major(c, a, b);
    product.m = std::min(n, begin + strip);
    product.n = product.m - begin;
    multiply(product, {after(c, begin * n), after(source, begin * n), b.x.data,
                       after(a.x, begin * (a.transposed ? 1 : a.cols())), alpha, beta});
  }
  if (c.numel() == 0) return;
  with_dtype(c.dtype, [&](auto type) {
    using T = decltype(type);
    const int64_t down = ceil_div(n, side), batch = c.numel() / (n * n);
    launch(mirror_kernel<T>, grid_for(batch * down * (down + 1) / 2 * side * lines, side * lines), side * lines, 0,
           c.as<T>(), n, batch);
  });
}

}  // namespace rowan

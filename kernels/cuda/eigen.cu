// Eigenvectors of symmetric matrices, and the orthogonal factor Q of the QR decomposition of square matrices, both in
// double precision. Consecutive matrices of equal size share most launches, as far as scratch memory allows.
// Eigenvectors use the one-sided Jacobi method. A sweep over a matrix [k, k] has k - 1 rounds, or k rounds if k is odd.
// A round is one launch. It rotates up to k / 2 independent pairs of rows, with one block per pair. Q uses k
// Householder reflections. For each reflection, one launch computes its vector, and another launch applies the
// reflection to the columns. Then k launches multiply the reflections.
// FLOPs: about 9 k^3 per sweep and 8/3 k^3 per Q. Bytes: about 32 k^3 per sweep, because each round reads and writes
// all rows of two matrices of doubles, and 16 k^3 per Q, because a reflection reads its columns twice and writes them
// once. Lower bound on time: these bytes at the bandwidth of a copy or, if the matrices of a batch fit into the L2
// cache, of that cache. Small matrices take longer, because a launch of a few microseconds does little work: a sweep
// has k launches and Q has 3 k, whatever the number of matrices.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/vector.cuh"
#include "kernels/gpu_workspace.h"

namespace rowan {
namespace {

using namespace cuda;

constexpr int block = 256;
constexpr int sweeps = 14;  // a fixed number: convergence is quadratic and is not tested
constexpr double small_angle = 1e-14;

// Returns the sum of x over the block to every thread.
__device__ double block_total(double x) {
  SHARED_ARRAY(double, parts, block);
  parts[threadIdx.x] = x;
  __syncthreads();
  for (int step = static_cast<int>(blockDim.x) / 2; step > 0; step /= 2) {
    if (static_cast<int>(threadIdx.x) < step) parts[threadIdx.x] += parts[threadIdx.x + step];
    __syncthreads();
  }
  double total = parts[0];
  __syncthreads();
  return total;
}

// g = a and u = identity, for one matrix.
__global__ void widen_kernel(double* g, double* u, const float* a, int64_t k) {
  for (int64_t i = thread_index(); i < k * k; i += thread_count()) {
    g[i] = a[i];
    u[i] = i / k == i % k ? 1.0 : 0.0;
  }
}

// noise[m] = the largest squared length of a row of g[m] that counts as zero. One block per matrix.
__global__ void noise_kernel(double* noise, const double* g, int64_t k) {
  const double* own = g + int64_t{blockIdx.x} * k * k;
  double total = 0.0;
  for (int64_t i = threadIdx.x; i < k * k; i += blockDim.x) total += own[i] * own[i];
  total = block_total(total);
  if (threadIdx.x == 0) noise[blockIdx.x] = 1e-32 * total;
}

// One round of a round-robin tournament. In a tournament each row is paired with every other row once. `players` is k
// rounded up to an even number. If k is odd, the row that is paired with the extra player rests. Block (x, y) rotates
// the two rows of pair x in matrix y, which makes them orthogonal. It skips rows that are already orthogonal or count
// as zero.
__global__ void rotate_kernel(double* g, double* u, const double* noise, int64_t k, int64_t players, int64_t round) {
  int64_t pair = blockIdx.x, around = players - 1;
  int64_t first = pair == 0 ? around : (round + pair) % around, second = (round + around - pair) % around;
  int64_t low = first < second ? first : second, high = first < second ? second : first;
  if (high >= k) return;
  int64_t matrix = int64_t{blockIdx.y} * k * k;
  double *gx = g + matrix + low * k, *gy = g + matrix + high * k, *ux = u + matrix + low * k,
         *uy = u + matrix + high * k;
  double xx = 0.0, yy = 0.0, xy = 0.0;
  for (int64_t j = threadIdx.x; j < k; j += blockDim.x) {
    xx += gx[j] * gx[j];
    yy += gy[j] * gy[j];
    xy += gx[j] * gy[j];
  }
  xx = block_total(xx);
  yy = block_total(yy);
  xy = block_total(xy);
  if (fabs(xy) <= small_angle * sqrt(xx) * sqrt(yy) || fmin(xx, yy) <= noise[blockIdx.y]) return;
  double zeta = (yy - xx) / (2.0 * xy);
  double t = (zeta >= 0.0 ? 1.0 : -1.0) / (fabs(zeta) + sqrt(1.0 + zeta * zeta));
  double c = 1.0 / sqrt(1.0 + t * t), s = c * t;
  for (int64_t j = threadIdx.x; j < k; j += blockDim.x) {
    double p = gx[j], q = gy[j], a = ux[j], b = uy[j];
    gx[j] = c * p - s * q;
    gy[j] = s * p + c * q;
    ux[j] = c * a - s * b;
    uy[j] = s * a + c * b;
  }
}

// lambda[m, i] = the dot product of row i of g[m] and row i of u[m]. One block per row.
__global__ void eigenvalues_kernel(double* lambda, const double* g, const double* u, int64_t k) {
  int64_t row = (int64_t{blockIdx.y} * k + blockIdx.x) * k;
  double total = 0.0;
  for (int64_t j = threadIdx.x; j < k; j += blockDim.x) total += g[row + j] * u[row + j];
  total = block_total(total);
  if (threadIdx.x == 0) lambda[blockIdx.y * k + blockIdx.x] = total;
}

// Copies row i of u to column p of q, and lambda[i] to values[p], where p is the rank of eigenvalue i. The largest
// eigenvalue has rank 0. If an element of `a` is not finite, `noise` is not finite either. Then q becomes the identity,
// and `values` the diagonal of a.
__global__ void place_kernel(float* q, float* values, const double* lambda, const double* u, const double* noise,
                             const float* a, int64_t k) {
  bool finite = *noise < INFINITY;
  for (int64_t i = blockIdx.x; i < k; i += gridDim.x) {
    int64_t place = finite ? 0 : i;
    for (int64_t j = 0; finite && j < k; ++j)
      place += sorts_before(lambda[j], lambda[i]) || (j < i && !sorts_before(lambda[i], lambda[j]));
    if (threadIdx.x == 0) values[place] = finite ? static_cast<float>(lambda[i]) : a[i * k + i];
    for (int64_t j = threadIdx.x; j < k; j += blockDim.x)
      q[j * k + place] = finite ? static_cast<float>(u[i * k + j]) : i == j ? 1.0f : 0.0f;
  }
}

// Writes elements [j, k) of the vector v[m, j, :], and the factor tau[m, j], of the Householder reflection that zeros
// column j of a[m] below the diagonal. One block per matrix.
__global__ void reflector_kernel(double* v, double* tau, const double* a, int64_t k, int64_t j) {
  const double* own = a + int64_t{blockIdx.x} * k * k;
  double* reflector = v + (int64_t{blockIdx.x} * k + j) * k;
  double below = 0.0;
  for (int64_t i = j + 1 + threadIdx.x; i < k; i += blockDim.x) {
    double x = own[i * k + j];
    reflector[i] = x;
    below += x * x;
  }
  below = block_total(below);
  if (threadIdx.x != 0) return;
  double x = own[j * k + j], length = sqrt(below + x * x);
  x += x >= 0.0 ? length : -length;
  reflector[j] = x;
  tau[blockIdx.x * k + j] = below > 0.0 ? 2.0 / (below + x * x) : 0.0;
}

// Applies reflector j to columns [j, k) of each a[m]: a[m] -= tau v (v^T a[m]). A thread processes whole columns.
__global__ void reflect_kernel(double* a, const double* v, const double* tau, int64_t k, int64_t j) {
  double size = tau[blockIdx.y * k + j];
  if (!(size > 0.0)) return;  // also for NaN
  double* own = a + int64_t{blockIdx.y} * k * k;
  const double* reflector = v + (int64_t{blockIdx.y} * k + j) * k;
  for (int64_t c = j + thread_index(); c < k; c += thread_count()) {
    double sum = 0.0;
    for (int64_t i = j; i < k; ++i) sum += reflector[i] * own[i * k + c];
    sum *= size;
    for (int64_t i = j; i < k; ++i) own[i * k + c] -= reflector[i] * sum;
  }
}

__global__ void narrow_kernel(float* to, const double* from, int64_t count) {
  for (int64_t i = thread_index(); i < count; i += thread_count()) to[i] = static_cast<float>(from[i]);
}

unsigned threads_for(int64_t k) {
  unsigned threads = warp_size;
  while (threads < block && threads < k) threads *= 2;
  return threads;
}

}  // namespace

void CudaBackend::do_eigenvectors(const std::vector<Tensor>& q, const std::vector<Tensor>& values,
                                  const std::vector<Tensor>& a) {
  for (size_t begin = 0; begin < a.size();) {
    int64_t k = a[begin].dim(0), players = k + k % 2, n = eigen_batch(a, begin, 2);
    double* g = workspace<double>(n * (2 * k * k + k + 1));
    double *u = g + n * k * k, *lambda = u + n * k * k, *noise = lambda + n * k;
    for (int64_t m = 0; m < n; ++m)
      launch(widen_kernel, grid_for(k * k, block), block, 0, g + m * k * k, u + m * k * k, a[begin + m].as<float>(), k);
    launch(noise_kernel, unsigned(n), block, 0, noise, g, k);
    for (int sweep = 0; sweep < sweeps; ++sweep)
      for (int64_t round = 0; round + 1 < players; ++round)
        launch(rotate_kernel, dim3(unsigned(players / 2), unsigned(n)), threads_for(k), 0, g, u, noise, k, players,
               round);
    launch(eigenvalues_kernel, dim3(unsigned(k), unsigned(n)), threads_for(k), 0, lambda, g, u, k);
    for (int64_t m = 0; m < n; ++m)
      launch(place_kernel, unsigned(std::min<int64_t>(k, 1024)), block, 0, q[begin + m].as<float>(),
             values[begin + m].as<float>(), lambda + m * k, u + m * k * k, noise + m, a[begin + m].as<float>(), k);
    begin += static_cast<size_t>(n);
  }
}

void CudaBackend::do_orthonormalize(const std::vector<Tensor>& a) {
  for (size_t begin = 0; begin < a.size();) {
    int64_t k = a[begin].dim(0), n = eigen_batch(a, begin, 3);
    double* x = workspace<double>(n * (3 * k * k + k));
    double *unit = x + n * k * k, *v = unit + n * k * k, *tau = v + n * k * k;
    for (int64_t m = 0; m < n; ++m)
      launch(widen_kernel, grid_for(k * k, block), block, 0, x + m * k * k, unit + m * k * k, a[begin + m].as<float>(),
             k);
    dim3 columns(grid_for(k, block), unsigned(n));
    for (int64_t j = 0; j < k; ++j) {
      launch(reflector_kernel, unsigned(n), threads_for(k), 0, v, tau, x, k, j);
      launch(reflect_kernel, columns, block, 0, x, v, tau, k, j);
    }
    for (int64_t j = k - 1; j >= 0; --j) launch(reflect_kernel, columns, block, 0, unit, v, tau, k, j);
    for (int64_t m = 0; m < n; ++m)
      launch(narrow_kernel, grid_for(k * k, block), block, 0, a[begin + m].as<float>(), unit + m * k * k, k * k);
    begin += static_cast<size_t>(n);
  }
}

}  // namespace rowan

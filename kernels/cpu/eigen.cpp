// Eigenvectors of symmetric matrices by one-sided Jacobi, and orthogonal factors of square ones by Householder
// reflections, in double precision. One thread takes one matrix. A rotation works on two rows, so memory is read in
// order. FLOPs: 10 k^3 a sweep, 8/3 k^3 a factor. Floor: these at a core's rate in double precision.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"

namespace rowan {
using namespace cpu;

namespace {

constexpr int most_sweeps = 30;
constexpr double small_angle = 1e-14;  // cosine below which two rows count as orthogonal

// Makes rows x and y of g orthogonal by a rotation, and applies it to u. Returns false if they already are, or if one
// of them is only the rounding noise of a zero row (squared length at most `noise`).
bool rotate(double* g, double* u, int64_t x, int64_t y, int64_t k, double noise) {
  double *gx = g + x * k, *gy = g + y * k, *ux = u + x * k, *uy = u + y * k;
  double xx = 0, yy = 0, xy = 0;
#pragma omp simd reduction(+ : xx, yy, xy)
  for (int64_t j = 0; j < k; ++j) xx += gx[j] * gx[j], yy += gy[j] * gy[j], xy += gx[j] * gy[j];
  if (std::fabs(xy) <= small_angle * std::sqrt(xx) * std::sqrt(yy) || std::min(xx, yy) <= noise) return false;
  const double zeta = (yy - xx) / (2 * xy);
  const double t = (zeta >= 0 ? 1 : -1) / (std::fabs(zeta) + std::sqrt(1 + zeta * zeta));
  const double c = 1 / std::sqrt(1 + t * t), s = c * t;
#pragma omp simd
  for (int64_t j = 0; j < k; ++j) {
    const double p = gx[j], q = gy[j], a = ux[j], b = uy[j];
    gx[j] = c * p - s * q;
    gy[j] = s * p + c * q;
    ux[j] = c * a - s * b;
    uy[j] = s * a + c * b;
  }
  return true;
}

// Rotations of rows turn the symmetric a into g = u a with orthogonal rows; the rows of u are then the eigenvectors.
void decompose(float* q, float* values, const float* a, int64_t k) {
  std::vector<double> g(a, a + k * k), u(static_cast<size_t>(k * k));
  for (int64_t i = 0; i < k; ++i) u[i * k + i] = 1;
  const double noise = 1e-32 * std::inner_product(g.begin(), g.end(), g.begin(), 0.0);
  bool moved = true;
  for (int sweep = 0; moved && sweep < most_sweeps; ++sweep) {
    moved = false;
    for (int64_t x = 0; x < k; ++x)
      for (int64_t y = x + 1; y < k; ++y) moved = rotate(g.data(), u.data(), x, y, k, noise) || moved;
  }
  std::vector<double> lambda(static_cast<size_t>(k));
  for (int64_t i = 0; i < k; ++i) lambda[i] = std::inner_product(&g[i * k], &g[i * k] + k, &u[i * k], 0.0);
  std::vector<int64_t> order(static_cast<size_t>(k));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](int64_t i, int64_t j) { return lambda[i] > lambda[j]; });
  for (int64_t j = 0; j < k; ++j) {
    values[j] = static_cast<float>(lambda[order[j]]);
    for (int64_t i = 0; i < k; ++i) q[i * k + j] = static_cast<float>(u[order[j] * k + i]);
  }
}

// Rows [j, k) of columns [from, k) of a -= tau v (v^T a).
void reflect(double* a, const double* v, double tau, int64_t j, int64_t from, int64_t k, double* sums) {
  std::fill(sums + from, sums + k, 0.0);
  for (int64_t i = j; i < k; ++i) {
    const double x = v[i], *row = a + i * k;
#pragma omp simd
    for (int64_t c = from; c < k; ++c) sums[c] += x * row[c];
  }
  for (int64_t i = j; i < k; ++i) {
    const double x = tau * v[i];
    double* row = a + i * k;
#pragma omp simd
    for (int64_t c = from; c < k; ++c) row[c] -= x * sums[c];
  }
}

void orthogonal_factor(float* matrix, int64_t k) {
  std::vector<double> a(matrix, matrix + k * k), v(static_cast<size_t>(k * k)), tau(static_cast<size_t>(k)),
      sums(static_cast<size_t>(k));
  for (int64_t j = 0; j < k; ++j) {
    double* reflector = &v[j * k];
    double square = 0;
    for (int64_t i = j; i < k; ++i) {
      reflector[i] = a[i * k + j];
      square += reflector[i] * reflector[i];
    }
    const double below = square - reflector[j] * reflector[j];
    if (below <= 0) continue;  // tau = 0: the column is zero below the diagonal already
    reflector[j] += reflector[j] >= 0 ? std::sqrt(square) : -std::sqrt(square);
    tau[j] = 2 / (below + reflector[j] * reflector[j]);
    reflect(a.data(), reflector, tau[j], j, j, k, sums.data());
  }
  std::fill(a.begin(), a.end(), 0.0);
  for (int64_t i = 0; i < k; ++i) a[i * k + i] = 1;
  for (int64_t j = k - 1; j >= 0; --j)
    if (tau[j] > 0) reflect(a.data(), &v[j * k], tau[j], j, j, k, sums.data());
  std::copy(a.begin(), a.end(), matrix);
}

}  // namespace

void CpuBackend::do_eigenvectors(const std::vector<Tensor>& q, const std::vector<Tensor>& values,
                                 const std::vector<Tensor>& a) {
  parallel_for(threads_, static_cast<int64_t>(a.size()),
               [&](int64_t i) { decompose(q[i].as<float>(), values[i].as<float>(), a[i].as<float>(), a[i].dim(0)); });
}

void CpuBackend::do_orthonormalize(const std::vector<Tensor>& a) {
  parallel_for(threads_, static_cast<int64_t>(a.size()),
               [&](int64_t i) { orthogonal_factor(a[i].as<float>(), a[i].dim(0)); });
}

}  // namespace rowan

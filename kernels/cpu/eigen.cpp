// Eigenvectors of symmetric matrices [k, k], and orthogonal factors of square matrices [k, k], in double precision.
// Eigenvectors: Householder's tridiagonal form, then QR steps with Wilkinson's shift (Golub and Van Loan, Matrix
// Computations, 8.3), about 9 k^3 FLOPs. Eigenvectors are kept as rows, so that a rotation reads contiguous memory.
// Orthogonal factors: Householder reflections, 8/3 k^3 FLOPs. One thread works on one matrix. Lower bound on the time:
// these FLOPs at a core's rate in double precision.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"

namespace rowan {
using namespace cpu;

namespace {

// Overwrites x[0, n) with the vector v of the reflection I - tau v v^T that maps x to (length, 0, ...). Returns tau. If
// x already has this form, tau is 0 and x is unchanged.
double make_reflector(double* x, int64_t n, double& length) {
  double below = 0;
  for (int64_t i = 1; i < n; ++i) below += x[i] * x[i];
  length = x[0];
  if (below <= 0) return 0;
  length = x[0] >= 0 ? -std::sqrt(x[0] * x[0] + below) : std::sqrt(x[0] * x[0] + below);
  x[0] -= length;
  return 2 / (below + x[0] * x[0]);
}

// a -= tau v (v^T a), in rows [j, k) and columns [from, k).
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

// The tridiagonal matrix t in a = q t q^T: the diagonal of t, and the entries beside it.
struct Tridiagonal {
  std::vector<double> diagonal, beside;
};

// Computes q and t of a = q t q^T. Overwrites a with q, and returns t.
Tridiagonal tridiagonal(std::vector<double>& a, int64_t k) {
  Tridiagonal t{std::vector<double>(static_cast<size_t>(k)), std::vector<double>(static_cast<size_t>(k))};
  std::vector<double> v(static_cast<size_t>(k * k)), tau(static_cast<size_t>(k)), w(static_cast<size_t>(k));
  for (int64_t j = 0; j + 1 < k; ++j) {
    double* x = &v[j * k];
    std::copy(&a[j * k] + j + 1, &a[j * k] + k, x + j + 1);
    t.diagonal[j] = a[j * k + j];
    tau[j] = make_reflector(x + j + 1, k - j - 1, t.beside[j]);
    if (tau[j] == 0) continue;
    // (I - tau x x^T) a (I - tau x x^T) = a - x w^T - w x^T, where w = tau a x - tau^2 (x^T a x) x / 2.
    double xw = 0;
    for (int64_t i = j + 1; i < k; ++i) {
      const double* row = &a[i * k];
      double sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t c = j + 1; c < k; ++c) sum += row[c] * x[c];
      w[i] = tau[j] * sum;
      xw += x[i] * w[i];
    }
    for (int64_t i = j + 1; i < k; ++i) w[i] -= tau[j] / 2 * xw * x[i];
    for (int64_t i = j + 1; i < k; ++i) {
      double* row = &a[i * k];
      const double xi = x[i], wi = w[i];
#pragma omp simd
      for (int64_t c = j + 1; c < k; ++c) row[c] -= xi * w[c] + wi * x[c];
    }
  }
  t.diagonal[k - 1] = a[k * k - 1];
  std::fill(a.begin(), a.end(), 0.0);
  for (int64_t i = 0; i < k; ++i) a[i * k + i] = 1;
  for (int64_t j = k - 2; j >= 0; --j)
    if (tau[j] > 0) reflect(a.data(), &v[j * k], tau[j], j + 1, j + 1, k, w.data());
  return t;
}

// Replaces rows x and y by c x + s y and c y - s x.
void rotate(double* x, double* y, double c, double s, int64_t k) {
#pragma omp simd
  for (int64_t j = 0; j < k; ++j) {
    const double p = x[j], q = y[j];
    x[j] = c * p + s * q;
    y[j] = c * q - s * p;
  }
}

// One QR step on rows and columns [begin, end] of t. The rotations of the step are also applied to the rows of u.
void qr_step(Tridiagonal& t, double* u, int64_t begin, int64_t end, int64_t k) {
  std::vector<double>&d = t.diagonal, &e = t.beside;
  const double half = (d[end - 1] - d[end]) / 2, last = e[end - 1];
  const double shift = d[end] - last * last / (half + std::copysign(std::hypot(half, last), half));
  double x = d[begin] - shift, z = e[begin];  // z: the entry that the next rotation removes
  for (int64_t i = begin; i < end; ++i) {
    const double r = std::hypot(x, z), c = r > 0 ? x / r : 1, s = r > 0 ? z / r : 0;
    if (i > begin) e[i - 1] = r;
    const double a = d[i], b = e[i], g = d[i + 1];
    d[i] = c * c * a + 2 * c * s * b + s * s * g;
    d[i + 1] = s * s * a - 2 * c * s * b + c * c * g;
    e[i] = c * s * (g - a) + (c * c - s * s) * b;
    x = e[i];
    if (i + 1 < end) {
      z = s * e[i + 1];
      e[i + 1] *= c;
    }
    rotate(u + i * k, u + (i + 1) * k, c, s, k);
  }
}

// Makes t diagonal by rotations, and applies these rotations to the rows of u too. If u starts as q^T, its rows become
// the eigenvectors.
void diagonalize(Tridiagonal& t, double* u, int64_t k) {
  constexpr double eps = std::numeric_limits<double>::epsilon();
  constexpr int64_t most = 60;  // limit: most * k QR steps for all k eigenvalues; 2 k steps are usual
  std::vector<double>&d = t.diagonal, &e = t.beside;
  int64_t end = k - 1;
  for (int64_t step = 0; end > 0 && step < most * k;) {
    int64_t begin = end;
    while (begin > 0 && std::fabs(e[begin - 1]) > eps * (std::fabs(d[begin - 1]) + std::fabs(d[begin]))) --begin;
    if (begin == end) {
      --end;
      continue;
    }
    qr_step(t, u, begin, end, k);
    ++step;
  }
}

// Computes the eigenvectors q and the eigenvalues `values` of matrix a. If an element of the matrix is not finite, q
// becomes the identity and `values` the diagonal of the matrix.
void decompose(float* q, float* values, const float* a, int64_t k) {
  if (!std::all_of(a, a + k * k, [](float x) { return std::isfinite(x); })) {
    std::fill(q, q + k * k, 0.0f);
    for (int64_t i = 0; i < k; ++i) q[i * k + i] = 1, values[i] = a[i * k + i];
    return;
  }
  std::vector<double> u(static_cast<size_t>(k * k));
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = 0; j < k; ++j) u[i * k + j] = 0.5 * (double{a[i * k + j]} + double{a[j * k + i]});
  Tridiagonal t = tridiagonal(u, k);
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = 0; j < i; ++j) std::swap(u[i * k + j], u[j * k + i]);
  diagonalize(t, u.data(), k);
  const std::vector<double>& lambda = t.diagonal;
  std::vector<int64_t> order(static_cast<size_t>(k));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t i, int64_t j) { return sorts_before(lambda[i], lambda[j]); });
  for (int64_t j = 0; j < k; ++j) {
    values[j] = static_cast<float>(lambda[order[j]]);
    for (int64_t i = 0; i < k; ++i) q[i * k + j] = static_cast<float>(u[order[j] * k + i]);
  }
}

void orthogonal_factor(float* matrix, int64_t k) {
  std::vector<double> a(matrix, matrix + k * k), v(static_cast<size_t>(k * k)), tau(static_cast<size_t>(k)),
      sums(static_cast<size_t>(k));
  for (int64_t j = 0; j < k; ++j) {
    double *reflector = &v[j * k], length;
    for (int64_t i = j; i < k; ++i) reflector[i] = a[i * k + j];
    tau[j] = make_reflector(reflector + j, k - j, length);
    if (tau[j] > 0) reflect(a.data(), reflector, tau[j], j, j, k, sums.data());
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

// The factors of Shampoo and their eigenbases for one matrix of a batch, as the stage `precondition` keeps them: L for
// rows and R for columns, bases Q, and estimates of the eigenvalues. SOAP (arXiv 2409.11321), KL-Shampoo and KL-SOAP
// (arXiv 2509.03378).
#pragma once

#include <algorithm>
#include <string>

#include "kernels/backend.h"
#include "optim/recipe.h"
#include "optim/stage.h"

namespace rowan::eigenbasis {

// The state of one side of a matrix: of its rows (left) or its columns. `scale` holds estimates of the factor's
// eigenvalues.
struct Side {
  bool left;
  int64_t size;
  Tensor factor, basis, scale;

  explicit operator bool() const { return !factor.empty(); }
};

// One matrix of the batch being processed.
struct Matrix {
  StageRun& x;
  int64_t i, rows, cols;
  Side left, right;
  Tensor gradient, projected, spare, moments;

  Matrix(StageRun& x, int64_t i) : x(x), i(i), rows(x.rows()), cols(x.cols()) {
    left = side(true);
    right = side(false);
    gradient = x.part(x.workspace.kept).at(i);
    projected = x.part(x.workspace.projected).at(i);
    spare = x.part(x.workspace.other).at(i);
    if (auto at = x.states.find("basis_second_moment"); at != x.states.end())
      moments = at->second[i].view({rows, cols});
  }

  Side side(bool is_left) const {
    const std::string name = is_left ? "left" : "right";
    Side side{is_left, is_left ? rows : cols, {}, {}, {}};
    auto at = x.states.find(name + "_factor");
    if (at == x.states.end()) return side;
    side.factor = at->second[i].view({side.size, side.size});
    side.basis = x.states.at(name + "_basis")[i].view({side.size, side.size});
    if (auto scale = x.states.find(name + "_scale"); scale != x.states.end())
      side.scale = scale->second[i].view({1, side.size});
    return side;
  }

  // A side's state in fp32. State that is stored in bf16 is copied to workspace.gram, after the memory of square(). A
  // copy is valid until the next call of the same function.
  Tensor factor(const Side& side) const { return x.wide(side.factor, largest() * largest()); }
  Tensor basis(const Side& side) const { return x.wide(side.basis, 2 * largest() * largest()); }
  int64_t largest() const { return std::max(left ? left.size : 0, right ? right.size : 0); }

  // Rotates the matrix F in `from` into the bases of both sides: writes Q_L^T F Q_R into `to`. If the argument `back`
  // is true, writes Q_L F Q_R^T. `to` may be `from`.
  void turn(Tensor to, Tensor from, bool back) const {
    Tensor half = from;
    if (left) {
      x.backend.matmul(spare, {basis(left), !back}, from);
      half = spare;
    }
    if (right) {
      if (half.data == to.data) {
        x.backend.copy(spare, half);
        half = spare;
      }
      x.backend.matmul(to, half, {basis(right), back});
    } else if (half.data != to.data) {
      x.backend.copy(to, half);
    }
  }

  Tensor square(const Side& side) const {
    return x.workspace.gram.slice(0, side.size * side.size).view({side.size, side.size});
  }

  // fp32[1, size]: inverse square roots of the side's eigenvalues, each taken as at least least(). Ones if there is no
  // factor.
  Tensor inverse_roots(const Side& side, int place) const {
    Tensor roots = x.workspace.sums.slice(place * (rows + cols), side.size).view({1, side.size});
    if (side)
      x.backend.copy(roots, side.scale);
    else
      x.backend.zero(roots);
    x.backend.power(roots, {1, side ? least(side) : 1, -0.5f});
    return roots;
  }

  // The least eigenvalue of a side: the inverse square of the largest inverse root.
  float least(const Side& side) const {
    const Recipe& r = x.recipe;
    if (r.kl_factors) return static_cast<float>(r.precondition_eps);
    const double most =
        r.max_inverse_root > 0 ? r.max_inverse_root : static_cast<double>(std::clamp<int64_t>(side.size, 10, 4000));
    return static_cast<float>(1 / (most * most));
  }

  // factor = beta factor + share g g^T, or g^T g for the right side. If the argument `by` is true, g is first rotated
  // into the basis of the other side and divided by the square roots of the other side's eigenvalues.
  void add_gradient(const Side& side, const Side& other, bool by, double beta, double share) const {
    Tensor g = gradient;
    if (by && other) {
      if (side.left)
        x.backend.matmul(spare, gradient, basis(other));
      else
        x.backend.matmul(spare, {basis(other), true}, gradient);
      x.backend.scale_along(spare.view({1, rows, cols}), inverse_roots(other, 0),
                            side.left ? Along::column : Along::row);
      g = spare;
    }
    Tensor sum = factor(side);
    x.backend.matmul(sum, {g, !side.left}, {g, side.left}, static_cast<float>(share), static_cast<float>(beta),
                     Result::symmetric);
    x.keep(side.factor, sum);
  }

  // fp32[1, size]: diag(Q^T F Q), which estimates the eigenvalues of the side's factor F.
  Tensor estimates(const Side& side) const {
    Tensor product = square(side), sums = x.workspace.sums.slice(0, side.size).view({1, side.size});
    Tensor q = basis(side);
    x.backend.matmul(product, factor(side), q);
    x.backend.sums_along(sums, {product}, {q}, Along::column);
    return sums;
  }

  void decompose(const Side& side) const {
    Tensor values = x.workspace.sums.slice(0, side.size), q = basis(side);
    x.backend.eigenvectors({q}, {values}, {factor(side)});
    x.keep(side.basis, q);
  }

  // Sorts the columns of the basis by descending keys.
  void sort_basis(const Side& side, const Tensor& keys) const {
    Tensor q = basis(side);
    x.backend.sort_along({q}, keys, Along::column);
    x.keep(side.basis, q);
  }

  // Updates the basis by one power iteration and a QR decomposition.
  void move_basis(const Side& side) const {
    Tensor product = square(side);
    x.backend.matmul(product, factor(side), basis(side));
    x.backend.orthonormalize({product});
    x.backend.copy(side.basis, product);
  }

  // Updates the estimated eigenvalues of both sides from the gradient in both bases. For each side, the gradient is
  // first divided by the square roots of the other side's old estimates. As in the authors' code, an estimate below
  // least() is raised to it.
  void move_scales(double beta) const {
    Tensor sums[2];
    for (const Side* side : {&left, &right}) {
      if (!*side) continue;
      const Side& other = side->left ? right : left;
      x.backend.copy(spare, projected);
      if (other)
        x.backend.scale_along(spare.view({1, rows, cols}), inverse_roots(other, 0),
                              side->left ? Along::column : Along::row);
      Tensor sum = x.workspace.sums.slice((side->left ? 1 : 2) * (rows + cols), side->size).view({1, side->size});
      x.backend.sums_of_squares(sum, {spare}, side->left ? Along::row : Along::column, 1);
      x.backend.scale(sum, static_cast<float>((1 - beta) / static_cast<double>(side->left ? cols : rows)));
      sums[side->left ? 0 : 1] = sum;
    }
    for (const Side* side : {&left, &right}) {
      if (!*side) continue;
      x.backend.scale(side->scale, static_cast<float>(beta));
      x.backend.add(side->scale, sums[side->left ? 0 : 1]);
      x.backend.power(side->scale, {1, least(*side), 1});
    }
  }
};

}  // namespace rowan::eigenbasis

// Ownership: which rank updates which part of each parameter. It is a pure function of the parameters, the costs of
// their updates and the number of ranks, so every rank computes the same plan without communication. Atom
// (optim/share.h) is the smallest part of a parameter that can be updated alone. First, matrices with Atom::matrix that
// are updated in equal blocks of rows may be cut into runs of consecutive blocks. Then these runs, and the matrices
// that stay whole, are assigned longest-processing-time first (Graham, "Bounds on multiprocessing timing anomalies",
// 1969). Last, the other parameters are divided by rows or elements, so that the ranks need nearly equal memory.
#pragma once

#include <cstdint>
#include <vector>

#include "model/parameters.h"
#include "optim/share.h"

namespace rowan {

// The cost of updating one whole parameter. The work and bytes of a part are assumed to be proportional to its number
// of elements.
struct UpdateCost {
  Atom atom = Atom::element;
  double work = 0;   // FLOPs, or another unit common to all parameters
  double bytes = 0;  // bytes of optimizer state and master weights
  // Rows in a block, for a matrix that is updated in equal blocks of rows. The blocks may have different owners. 0:
  // there are no such blocks, and a matrix with Atom::matrix has one owner.
  int64_t block_rows = 0;
};

// Elements [begin, begin + count) of one parameter, updated by rank `owner`.
struct OwnedPiece {
  int parameter = 0;  // index in the parameter table
  int64_t begin = 0, count = 0;
  int owner = 0;
};

class Ownership {
 public:
  // `costs` has one entry per parameter. Throws Error if some rank would own nothing.
  Ownership(const ParameterTable& table, const std::vector<UpdateCost>& costs, int ranks);

  int ranks() const { return ranks_; }
  // Sorted by parameter, then by begin. Each element belongs to exactly one piece.
  const std::vector<OwnedPiece>& pieces() const { return pieces_; }

  // Total work and bytes of each rank. A balance is the largest total divided by the mean; 1 is perfect.
  const std::vector<double>& work() const { return work_; }
  const std::vector<double>& bytes() const { return bytes_; }
  double work_balance() const;
  double memory_balance() const;

 private:
  static void cut_matrix(const Parameter& parameter, int index, const UpdateCost& cost, double most,
                         std::vector<OwnedPiece>& pieces);
  void deal_matrices(const ParameterTable& table, const std::vector<UpdateCost>& costs);
  void cut_the_rest(const ParameterTable& table, const std::vector<UpdateCost>& costs);
  void own(const ParameterTable& table, const std::vector<UpdateCost>& costs, const OwnedPiece& piece);

  int ranks_;
  std::vector<OwnedPiece> pieces_;
  std::vector<double> work_, bytes_;
};

}  // namespace rowan

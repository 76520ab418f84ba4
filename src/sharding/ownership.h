// Ownership: which rank updates which part of each parameter. A pure function of the parameters, what their updates
// cost and the number of ranks, so that every rank computes the same plan and no optimizer ever communicates.
// Whole matrices are dealt out longest-processing-time first (Graham, "Bounds on multiprocessing timing anomalies",
// 1969); rows and elements are then cut, block by block, so that memory comes out level.
#pragma once

#include <cstdint>
#include <vector>

#include "model/parameters.h"
#include "optim/share.h"

namespace rowan {

// What the update of one whole parameter takes; work and bytes of a part are proportional to its elements.
struct UpdateCost {
  Atom atom = Atom::element;
  double work = 0;   // FLOPs, or any unit common to all parameters
  double bytes = 0;  // optimizer state and master weights
};

// Elements [begin, begin + count) of one parameter, updated by rank `owner`.
struct OwnedPiece {
  int parameter = 0;  // index in the table
  int64_t begin = 0, count = 0;
  int owner = 0;
};

class Ownership {
 public:
  // `costs` has one entry a parameter. Throws Error when some rank would own nothing.
  Ownership(const ParameterTable& table, const std::vector<UpdateCost>& costs, int ranks);

  int ranks() const { return ranks_; }
  // By parameter, then by begin; they cover every element once.
  const std::vector<OwnedPiece>& pieces() const { return pieces_; }

  // Sums per rank, and their largest over their mean: 1 is perfect.
  const std::vector<double>& work() const { return work_; }
  const std::vector<double>& bytes() const { return bytes_; }
  double work_balance() const;
  double memory_balance() const;

 private:
  void deal_matrices(const ParameterTable& table, const std::vector<UpdateCost>& costs);
  void cut_the_rest(const ParameterTable& table, const std::vector<UpdateCost>& costs);
  void own(const ParameterTable& table, const std::vector<UpdateCost>& costs, const OwnedPiece& piece);

  int ranks_;
  std::vector<OwnedPiece> pieces_;
  std::vector<double> work_, bytes_;
};

}  // namespace rowan

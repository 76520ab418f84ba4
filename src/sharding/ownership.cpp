#include "sharding/ownership.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "base/error.h"

namespace rowan {

namespace {

// Parameters that are updated element by element are divided at multiples of this many elements. Pieces are then
// aligned, and vectors of at most this length stay whole.
constexpr int64_t element_granule = 1024;

double balance(const std::vector<double>& loads) {
  double mean = std::accumulate(loads.begin(), loads.end(), 0.0) / static_cast<double>(loads.size());
  return mean > 0 ? *std::max_element(loads.begin(), loads.end()) / mean : 1;
}

// Divides `amount` among the ranks so that their loads rise to a common level. Ranks whose load is above that level get
// nothing. Returns each rank's part of the amount.
std::vector<double> level(const std::vector<double>& loads, double amount) {
  std::vector<double> sorted = loads;
  std::sort(sorted.begin(), sorted.end());
  double below = 0, height = 0;
  for (size_t k = 0; k < sorted.size(); ++k) {
    below += sorted[k];
    height = (below + amount) / static_cast<double>(k + 1);
    if (k + 1 < sorted.size() && height <= sorted[k + 1]) break;
  }
  std::vector<double> need;
  for (double load : loads) need.push_back(std::max(0.0, height - load));
  return need;
}

}  // namespace

Ownership::Ownership(const ParameterTable& table, const std::vector<UpdateCost>& costs, int ranks)
    : ranks_(ranks), work_(ranks, 0.0), bytes_(ranks, 0.0) {
  if (costs.size() != table.parameters().size()) throw std::logic_error("Ownership: one cost per parameter is needed");
  deal_matrices(table, costs);
  cut_the_rest(table, costs);
  std::sort(pieces_.begin(), pieces_.end(), [](const OwnedPiece& a, const OwnedPiece& b) {
    return a.parameter != b.parameter ? a.parameter < b.parameter : a.begin < b.begin;
  });
  std::vector<bool> busy(ranks, false);
  for (const OwnedPiece& piece : pieces_) busy[piece.owner] = true;
  int idle = static_cast<int>(std::count(busy.begin(), busy.end(), false));
  if (idle > 0) {
    fail(
        "shard: found {} ranks, expected at most {}, because each must own a part of the model; or set \"shard\": "
        "\"none\"",
        ranks, ranks - idle);
  }
}

double Ownership::work_balance() const { return balance(work_); }
double Ownership::memory_balance() const { return balance(bytes_); }

void Ownership::own(const ParameterTable& table, const std::vector<UpdateCost>& costs, const OwnedPiece& piece) {
  double part = static_cast<double>(piece.count) / static_cast<double>(table.parameters()[piece.parameter].numel());
  work_[piece.owner] += costs[piece.parameter].work * part;
  bytes_[piece.owner] += costs[piece.parameter].bytes * part;
  pieces_.push_back(piece);
}

// Cuts a matrix that is updated in equal blocks of rows into ceil(work / most) runs of consecutive blocks, but into no
// more runs than there are blocks. A matrix without such blocks stays whole.
void Ownership::cut_matrix(const Parameter& parameter, int index, const UpdateCost& cost, double most,
                           std::vector<OwnedPiece>& pieces) {
  const int64_t blocks = cost.block_rows ? parameter.rows() / cost.block_rows : 1;
  const int64_t runs = std::clamp<int64_t>(static_cast<int64_t>(std::ceil(cost.work / most)), 1, blocks);
  const int64_t block = parameter.numel() / blocks;
  for (int64_t run = 0; run < runs; ++run) {
    const int64_t begin = run * blocks / runs, end = (run + 1) * blocks / runs;
    pieces.push_back({index, begin * block, (end - begin) * block, 0});
  }
}

void Ownership::deal_matrices(const ParameterTable& table, const std::vector<UpdateCost>& costs) {
  constexpr double most = 0.08;  // a run of blocks should have at most this fraction of the mean work per rank
  double total = 0;
  for (const UpdateCost& cost : costs) total += cost.work;
  std::vector<OwnedPiece> matrices;
  for (size_t i = 0; i < costs.size(); ++i)
    if (costs[i].atom == Atom::matrix)
      cut_matrix(table.parameters()[i], static_cast<int>(i), costs[i], most * total / ranks_, matrices);
  auto work = [&](const OwnedPiece& piece) {
    return costs[piece.parameter].work * static_cast<double>(piece.count) /
           static_cast<double>(table.parameters()[piece.parameter].numel());
  };
  std::stable_sort(matrices.begin(), matrices.end(),
                   [&](const OwnedPiece& a, const OwnedPiece& b) { return work(a) > work(b); });
  for (OwnedPiece& piece : matrices) {
    for (int rank = 1; rank < ranks_; ++rank)
      if (std::pair(work_[rank], bytes_[rank]) < std::pair(work_[piece.owner], bytes_[piece.owner])) piece.owner = rank;
    own(table, costs, piece);
  }
}

void Ownership::cut_the_rest(const ParameterTable& table, const std::vector<UpdateCost>& costs) {
  const auto& parameters = table.parameters();
  double total = 0;
  for (const UpdateCost& cost : costs) total += cost.atom == Atom::matrix ? 0 : cost.bytes;
  if (total == 0) return;
  std::vector<double> need = level(bytes_, total);
  std::vector<double> until(ranks_);  // until[r]: the fraction of `total` that ranks 0 to r own together
  std::partial_sum(need.begin(), need.end(), until.begin());
  for (double& part : until) part /= total;
  until.back() = 1;

  // Parameters of the same Parameter::block are divided together, in the proportions that `until` gives.
  std::vector<double> block_bytes, done;
  for (size_t i = 0; i < costs.size(); ++i) {
    block_bytes.resize(std::max(block_bytes.size(), static_cast<size_t>(parameters[i].block) + 1));
    if (costs[i].atom != Atom::matrix) block_bytes[parameters[i].block] += costs[i].bytes;
  }
  done.resize(block_bytes.size());
  for (size_t i = 0; i < costs.size(); ++i) {
    if (costs[i].atom == Atom::matrix) continue;
    const Parameter& parameter = parameters[i];
    const int64_t granule = costs[i].atom == Atom::row ? parameter.cols() : element_granule;
    double& before = done[parameter.block];
    int64_t begin = 0;
    for (int rank = 0; rank < ranks_ && begin < parameter.numel(); ++rank) {
      // The fraction of this parameter at which the rank's piece ends.
      double wanted = (until[rank] * block_bytes[parameter.block] - before) / costs[i].bytes;
      double atoms =
          std::clamp(wanted, 0.0, 1.0) * static_cast<double>(parameter.numel()) / static_cast<double>(granule);
      int64_t end = std::min<int64_t>(std::llround(atoms) * granule, parameter.numel());
      if (rank == ranks_ - 1 || wanted > 1 - 1e-9) end = parameter.numel();
      if (end <= begin) continue;
      own(table, costs, {static_cast<int>(i), begin, end - begin, rank});
      begin = end;
    }
    before += costs[i].bytes;
  }
}

}  // namespace rowan

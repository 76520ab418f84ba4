#include "sharding/sharding.h"

#include <algorithm>
#include <exception>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/names.h"
#include "base/threads.h"
#include "comm/agreement.h"
#include "comm/communicator.h"
#include "kernels/backend.h"
#include "kernels/floats.h"
#include "kernels/thread_pool.h"

namespace rowan {

namespace {

// The number of sharded layers whose whole weights or gradients are in memory: one in use, and one being sent or
// received.
constexpr int resident_layers = 2;

// Elements [begin, begin + count) of a tensor. Whole rows of a matrix are returned as a matrix, other parts as a
// vector.
Tensor part_of(Tensor whole, int64_t begin, int64_t count) {
  Tensor part = whole.view({whole.numel()}).slice(begin, count);
  if (whole.rank == 2 && begin % whole.cols() == 0 && count % whole.cols() == 0) {
    return part.view({count / whole.cols(), whole.cols()});
  }
  return part;
}

// New memory with the shape of `x`, for elements of `dtype`.
Tensor take_like(Arena& arena, Tensor x, DType dtype) {
  return x.rank == 2 ? arena.take(dtype, {x.dim(0), x.dim(1)}) : arena.take(dtype, {x.dim(0)});
}

}  // namespace

struct Sharding::Block {
  std::vector<Piece> gradients, weights;  // gradients: pieces of sent_; weights: pieces of the model's weights
  std::vector<int> shares;                // this rank's shares of the block, as indices into shares_
  std::vector<size_t> at;                 // indices of these shares' pieces in `gradients` and `weights`
  Ticket gradient_ticket = 0, weight_ticket = 0;
};

void apply_shard(ShardMode shard, int ranks, ModelOptions& options) {
  if (ranks == 1) return;
  if (shard >= ShardMode::gradients) options.resident_gradients = resident_layers;
  if (shard >= ShardMode::weights) options.resident_weights = resident_layers;
}

Sharding::Sharding(Communicator& communicator, Backend& backend, Model& model, const std::vector<UpdateCost>& costs,
                   ShardMode shard, DType reduce, bool masters)
    : communicator_(communicator),
      backend_(backend),
      model_(model),
      shard_(communicator.size() == 1 ? ShardMode::none : shard),
      with_masters_(masters && model.weights().dtype != DType::f32),
      masters_(backend, Category::masters),
      owned_gradients_(backend, Category::gradients),
      owned_weights_(backend, Category::weights),
      sent_memory_(backend, Category::gradients),
      workspace_(backend, Category::workspace),
      blocks_(model.weight_placement().blocks()),
      weight_slots_(resident_layers, 0),
      gradient_slots_(resident_layers, 0),
      totals_(workspace_.take(DType::f32, {2})) {
  const auto& parameters = model.parameters().parameters();
  sent_ = model.gradients();
  if (communicator.size() > 1 && reduce != sent_.dtype) sent_ = sent_memory_.take(reduce, {sent_.numel()});
  if (shard_ == ShardMode::none) {
    for (const Parameter& parameter : parameters) add_share(parameter, {0, 0, parameter.numel(), communicator.rank()});
  } else {
    ownership_ = std::make_unique<Ownership>(model.parameters(), costs, communicator.size());
    for (const OwnedPiece& piece : ownership_->pieces()) add_share(parameters[piece.parameter], piece);
  }
  communicator.attach(backend);
  model.observe(this);
}

bool Sharding::shares_count() const { return shard_ != ShardMode::none || communicator_.rank() == 0; }

Sharding::~Sharding() {
  if (std::uncaught_exceptions() > 0) return;  // the other ranks may not answer, and the process is about to end
  for (const Block& block : blocks_) {
    communicator_.wait(block.gradient_ticket);
    communicator_.wait(block.weight_ticket);
  }
}

void Sharding::add_share(const Parameter& parameter, const OwnedPiece& piece) {
  Block& block = blocks_[parameter.block];
  Tensor weight = part_of(model_.weight(parameter), piece.begin, piece.count);
  Tensor gradient = part_of(model_.gradient(parameter), piece.begin, piece.count);
  block.weights.push_back({weight, piece.owner});
  block.gradients.push_back(
      {part_of(model_.gradient_placement().in(sent_, parameter), piece.begin, piece.count), piece.owner});
  if (piece.owner != communicator_.rank()) return;
  block.shares.push_back(static_cast<int>(shares_.size()));
  block.at.push_back(block.weights.size() - 1);
  Share share;
  share.parameter = &parameter, share.begin = piece.begin, share.count = piece.count;
  share.weight =
      is_sharded(parameter.block, ShardMode::weights) ? take_like(owned_weights_, weight, weight.dtype) : weight;
  share.gradient = is_sharded(parameter.block, ShardMode::gradients)
                       ? take_like(owned_gradients_, weight, gradient.dtype)
                       : gradient;
  if (with_masters_) share.master = take_like(masters_, weight, DType::f32);
  shares_.push_back(share);
}

void Sharding::initialize(uint64_t seed) {
  ThreadPool threads(default_threads());
  std::vector<float> values;
  for (const Share& share : shares_) {
    values.resize(static_cast<size_t>(share.count));
    initial_values(*share.parameter, seed, share.begin, share.count, values.data(), threads);
    upload_floats(backend_, share.value(), values.data());
    if (!share.master.empty()) backend_.copy(share.weight, share.master);
  }
  weights_written();
}

void Sharding::weights_changed() {
  written_ = false;
  if (shard_ == ShardMode::none) return;
  std::fill(weight_slots_.begin(), weight_slots_.end(), 0);
  for (size_t b = 0; b < blocks_.size(); ++b) {
    if (!is_sharded(static_cast<int>(b), ShardMode::weights))
      blocks_[b].weight_ticket = communicator_.broadcast(blocks_[b].weights);
  }
}

void Sharding::settle_weights() {
  for (const Block& block : blocks_) communicator_.wait(block.weight_ticket);
}

void Sharding::check_weights() {
  if (written_) weights_changed();
  Json hashes = Json::object();
  std::vector<std::byte> bytes;
  for (const Parameter& parameter : model_.parameters().parameters()) {
    if (is_sharded(parameter.block, ShardMode::weights)) continue;
    communicator_.wait(blocks_[parameter.block].weight_ticket);
    const Tensor weight = model_.weight(parameter);
    bytes.resize(weight.bytes());
    backend_.download(bytes.data(), weight);
    hashes[parameter.name] = fmt::format("{:016x}", hash64({reinterpret_cast<char*>(bytes.data()), bytes.size()}));
  }
  check_same(communicator_, "checksum of the weights ", hashes);
}

// Starts to gather the weights of a sharded layer, unless the layer's slot already holds or receives them.
void Sharding::gather_weights(int block) {
  if (!is_sharded(block, ShardMode::weights)) return;
  int& held = weight_slots_[model_.weight_placement().slot(block)];
  if (held == block) return;
  held = block;
  Block& b = blocks_[block];
  for (size_t i = 0; i < b.shares.size(); ++i) backend_.copy(b.weights[b.at[i]].tensor, shares_[b.shares[i]].weight);
  b.weight_ticket = communicator_.broadcast(b.weights);
}

void Sharding::before_forward(int block) {
  if (written_) weights_changed();
  gather_weights(block);
  communicator_.wait(blocks_[block].weight_ticket);
  gather_weights(block + 1);
}

void Sharding::before_backward(int block) {
  if (is_sharded(block, ShardMode::weights)) {
    gather_weights(block);
    communicator_.wait(blocks_[block].weight_ticket);
    gather_weights(block - 1);
  }
  if (is_sharded(block, ShardMode::gradients)) {
    int& held = gradient_slots_[model_.gradient_placement().slot(block)];
    if (held) accumulate_reduced(held);
    held = block;
  }
}

void Sharding::after_backward(int block) {
  if (communicator_.size() == 1 || !(last_micro_step_ || is_sharded(block, ShardMode::gradients))) return;
  Block& b = blocks_[block];
  if (converts()) backend_.copy(sent_of(block), gradients_of(block));
  b.gradient_ticket =
      shard_ == ShardMode::none ? communicator_.all_reduce(sent_of(block)) : communicator_.reduce(b.gradients);
}

// Adds a layer's reduced gradients to the gradients of this rank's shares.
void Sharding::accumulate_reduced(int block) {
  Block& b = blocks_[block];
  communicator_.wait(b.gradient_ticket);
  for (size_t i = 0; i < b.shares.size(); ++i) backend_.add(shares_[b.shares[i]].gradient, b.gradients[b.at[i]].tensor);
}

void Sharding::begin_step() {
  for (const Share& share : shares_) {
    if (is_sharded(share.parameter->block, ShardMode::gradients)) backend_.zero(share.gradient);
  }
}

void Sharding::finish_gradients() {
  accumulate_all_reduced();
  for (int block = static_cast<int>(blocks_.size()) - 1; block >= 0; --block) {
    if (is_sharded(block, ShardMode::gradients)) continue;
    const Block& b = blocks_[block];
    communicator_.wait(b.gradient_ticket);
    if (!converts()) continue;
    for (size_t i = 0; i < b.shares.size(); ++i)
      backend_.copy(shares_[b.shares[i]].gradient, b.gradients[b.at[i]].tensor);
  }
}

void Sharding::accumulate_all_reduced() {
  for (int& held : gradient_slots_) {
    if (held) accumulate_reduced(held);
    held = 0;
  }
}

StepTotals Sharding::sum_over_ranks(Tensor loss, const std::vector<double>& more, ParameterSums sums) {
  backend_.copy(totals_.slice(0, 1), loss);
  std::vector<Tensor> gradients;
  const bool counts = shares_count();
  if (counts)
    for (const Share& share : shares_) gradients.push_back(share.gradient);
  backend_.sum_squares(totals_.slice(1, 1), gradients);
  float mine[2];
  backend_.download(mine, totals_);
  std::vector<double> values = {mine[0], mine[1]};
  values.insert(values.end(), more.begin(), more.end());
  const size_t first = values.size();
  const auto& parameters = model_.parameters().parameters();
  if (!sums.empty()) values.resize(first + 3 * parameters.size());
  auto of = [&](const Parameter* parameter) { return values.begin() + first + 3 * (parameter - parameters.data()); };
  if (counts)
    for (const auto& [parameter, own] : sums) std::copy(own.begin(), own.end(), of(parameter));
  values = communicator_.sum(values);
  for (auto& [parameter, whole] : sums) std::copy_n(of(parameter), whole.size(), whole.begin());
  return {values[0], values[1], {values.begin() + 2, values.begin() + first}, std::move(sums)};
}

double Sharding::weight_norm() {
  std::vector<Tensor> values;
  if (shares_count())
    for (const Share& share : shares_) values.push_back(share.value());
  backend_.sum_squares(totals_.slice(1, 1), values);
  float mine = 0;
  backend_.download(&mine, totals_.slice(1, 1));
  return std::sqrt(communicator_.sum({mine})[0]);
}

}  // namespace rowan

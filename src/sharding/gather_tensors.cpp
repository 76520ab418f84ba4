#include "sharding/gather_tensors.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <stdexcept>

#include "base/json.h"
#include "comm/communicator.h"
#include "kernels/backend.h"

namespace rowan {

namespace {

struct Holder {
  int rank;
  int64_t begin, count;
};

struct Known {
  std::vector<int64_t> shape;
  DType dtype;
  std::vector<Holder> holders;

  int64_t numel() const {
    int64_t n = 1;
    for (int64_t d : shape) n *= d;
    return n;
  }
};

// The holders of each tensor, by the name of the tensor. The result is the same on every rank.
std::map<std::string, Known> exchange(Communicator& communicator, const std::vector<TensorPart>& mine) {
  Json list = Json::array();
  for (const TensorPart& part : mine) {
    list.push_back({part.name, part.shape, static_cast<int>(part.part.dtype), part.begin, part.part.numel()});
  }
  std::map<std::string, Known> known;
  std::vector<std::string> lists = communicator.gather(list.dump());
  for (int rank = 0; rank < communicator.size(); ++rank) {
    for (const Json& entry : try_parse_json(lists[rank])) {
      Known& tensor = known[entry[0].get<std::string>()];
      tensor.shape = entry[1].get<std::vector<int64_t>>();
      tensor.dtype = static_cast<DType>(entry[2].get<int>());
      tensor.holders.push_back({rank, entry[3].get<int64_t>(), entry[4].get<int64_t>()});
    }
  }
  return known;
}

}  // namespace

std::vector<WholeTensor> gather_tensors(Communicator& communicator, Backend& backend,
                                        const std::vector<TensorPart>& mine) {
  std::map<std::string, std::vector<const TensorPart*>> own;
  for (const TensorPart& part : mine) own[part.name].push_back(&part);
  std::vector<WholeTensor> result;
  size_t turn = 0;
  for (const auto& [name, known] : exchange(communicator, mine)) {
    std::vector<int> complete;
    for (const Holder& holder : known.holders) {
      if (holder.count == known.numel()) complete.push_back(holder.rank);
    }
    if (!complete.empty()) {
      int writer = complete.size() == 1 ? complete[0] : complete[turn++ % complete.size()];
      if (writer == communicator.rank())
        result.push_back({name, known.shape, known.dtype, own[name].front()->part, {}});
      continue;
    }
    std::string bytes;
    for (const TensorPart* part : own[name]) {
      const size_t at = bytes.size();
      bytes.resize(at + part->part.bytes());
      backend.download(bytes.data() + at, part->part);
    }
    std::vector<std::string> parts = communicator.gather(bytes);
    std::vector<std::byte> whole(static_cast<size_t>(known.numel()) * size_of(known.dtype));
    int64_t covered = 0;
    std::vector<size_t> read(parts.size());  // bytes of each rank's parts that have been copied
    for (const Holder& holder : known.holders) {
      const size_t part = static_cast<size_t>(holder.count) * size_of(known.dtype);
      covered += holder.count;
      std::memcpy(whole.data() + holder.begin * size_of(known.dtype), parts[holder.rank].data() + read[holder.rank],
                  part);
      read[holder.rank] += part;
    }
    if (covered != known.numel()) throw std::logic_error("gather_tensors: the parts of " + name + " leave gaps");
    if (known.holders[turn++ % known.holders.size()].rank == communicator.rank()) {
      result.push_back({name, known.shape, known.dtype, Tensor(), std::move(whole)});
    }
  }
  return result;
}

}  // namespace rowan

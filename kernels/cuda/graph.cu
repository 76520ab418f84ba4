// Work that repeats, as a CUDA graph. The first time it runs as it is, so that scratch memory grows and cuBLASLt's
// plans are made; the second time its launches are recorded; from then on one call replays them all. A recording holds
// addresses: once memory is released, all recordings are forgotten.
#include "base/error.h"
#include "kernels/cuda/cuda_backend.h"

namespace rowan {
namespace {

// Keys that never come back (a gradient scale that follows the batch) must neither pile up nor be in the way.
constexpr size_t most_recordings = 16;

}  // namespace

void CudaBackend::do_repeat(const void* owner, uint64_t key, const std::function<void()>& work) {
  if (!records_) return work();
  auto found = recordings_.find({owner, key});
  if (found == recordings_.end()) {
    if (recordings_.size() == most_recordings) forget_recordings();
    recordings_.emplace(std::make_pair(owner, key), nullptr);
    return work();
  }
  if (!found->second) {
    Running running(*this, "record", Tensor());
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
    cudaGraph_t graph = nullptr;
    try {
      work();
    } catch (...) {
      cudaStreamEndCapture(stream_, &graph);
      if (graph) cudaGraphDestroy(graph);
      cudaGetLastError();  // the recording's failure is told by what is thrown
      throw;
    }
    check(cudaStreamEndCapture(stream_, &graph));
    cudaError_t made = cudaGraphInstantiate(&found->second, graph, 0);
    cudaGraphDestroy(graph);
    check(made);
  }
  Running running(*this, "replay", Tensor());
  check(cudaGraphLaunch(found->second, stream_));
}

void CudaBackend::forget_recordings() {
  for (auto& [key, executable] : recordings_)
    if (executable) cudaGraphExecDestroy(executable);
  recordings_.clear();
}

}  // namespace rowan

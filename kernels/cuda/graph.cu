// Runs repeated work as a CUDA graph, if graphs are on (backend.cu). The first call with an owner and key runs the work
// directly, because the work may allocate scratch memory and create cuBLASLt plans. The second call records the work
// and replays the recording in one launch. Later calls only replay. A recording contains addresses, so releasing memory
// drops all recordings. The next call with an owner and key is then a first call again.
#include "base/error.h"
#include "kernels/cuda/cuda_backend.h"

namespace rowan {
namespace {

// The largest number of keys that are kept. Before a further key is added, all keys and recordings are dropped. A
// trainer's key contains the gradient scale, which depends on the number of targets in a step, so old keys may never
// come back.
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
      cudaGetLastError();  // clears CUDA's error, if there is one; the exception is enough
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

// Runs repeated work as a CUDA graph. The first call runs the work directly, which grows scratch memory to its full
// size and creates the cuBLASLt plans. The second call records the kernel launches. The second and all later calls
// replay the recording in one launch. A recording contains addresses, so releasing any memory drops all recordings.
#include "base/error.h"
#include "kernels/cuda/cuda_backend.h"

namespace rowan {
namespace {

// The largest number of keys that are kept. A key contains the gradient scale, which changes with the number of targets
// in a step. Without a limit, keys that are no longer used would accumulate, with their recordings.
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
      cudaGetLastError();  // clears CUDA's error, which the exception already reports
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

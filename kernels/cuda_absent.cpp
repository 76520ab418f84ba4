// make_cuda_backend and stream_of for a build without CUDA. In a build with CUDA, kernels/cuda/backend.cu defines them.
#include "base/error.h"
#include "kernels/backend.h"
#include "kernels/device_stream.h"

namespace rowan {

std::unique_ptr<Backend> make_cuda_backend(int, AttentionKernels attention) {
  const bool cudnn = attention == AttentionKernels::cudnn;
  throw NoDevice(
      fmt::format("{}: this rowan was built without CUDA; use \"{}\", or install the CUDA toolkit and build again with "
                  "-DROWAN_CUDA=ON",
                  cudnn ? "attention" : "device", cudnn ? "rowan" : "cpu"));
}

void* stream_of(Backend&) { return nullptr; }

}  // namespace rowan

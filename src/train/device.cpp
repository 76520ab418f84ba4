#include "train/device.h"

#include "base/error.h"

namespace rowan {

std::unique_ptr<Backend> make_backend(const std::string& device, int threads, int index, AttentionKernels attention) {
  const bool cudnn = attention == AttentionKernels::cudnn;
  if (cudnn && device == "cpu") fail("attention: \"cudnn\" runs on a GPU, the device is \"cpu\"; use \"rowan\"");
  if (cudnn || device == "cuda") return make_cuda_backend(index, attention);
  if (device == "auto") {
    try {
      return make_cuda_backend(index);
    } catch (const Error&) {
    }
  }
  return make_cpu_backend(threads);
}

}  // namespace rowan

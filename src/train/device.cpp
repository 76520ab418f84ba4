#include "train/device.h"

#include "base/console.h"
#include "base/error.h"
#include "kernels/backend.h"

namespace rowan {

std::unique_ptr<Backend> make_backend(Device device, int threads, int index, AttentionKernels attention) {
  const bool cudnn = attention == AttentionKernels::cudnn;
  if (cudnn && device == Device::cpu)
    fail("attention: found \"cudnn\", expected \"rowan\", because the device is \"cpu\"");
  if (cudnn || device == Device::cuda) return make_cuda_backend(index, attention);
  if (device == Device::automatic) {
    try {
      return make_cuda_backend(index);
    } catch (const NoDevice&) {
    } catch (const Error& error) {
      tell("warning: the GPU cannot be used, so the device is the CPU: {}\n", error.what());
    }
  }
  return make_cpu_backend(threads);
}

}  // namespace rowan

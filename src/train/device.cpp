#include "train/device.h"

#include "base/error.h"

namespace rowan {

std::unique_ptr<Backend> make_backend(const std::string& device, int threads, int index) {
  if (device == "cuda") return make_cuda_backend(index);
  if (device == "auto") {
    try {
      return make_cuda_backend(index);
    } catch (const Error&) {
    }
  }
  return make_cpu_backend(threads);
}

}  // namespace rowan

#include <cstdlib>

#include "backend/suite.h"

namespace rowan::test {

// If the environment variable ROWAN_TEST_CUDNN is set, the backend uses cuDNN's attention.
std::unique_ptr<Backend> make_backend_under_test() {
  return make_cuda_backend(0, std::getenv("ROWAN_TEST_CUDNN") ? AttentionKernels::cudnn : AttentionKernels::rowan);
}

}  // namespace rowan::test

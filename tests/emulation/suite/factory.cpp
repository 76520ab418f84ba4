#include "backend/suite.h"

namespace rowan::test {

std::unique_ptr<Backend> make_backend_under_test() { return make_cuda_backend(0); }

}  // namespace rowan::test

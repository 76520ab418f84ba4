#include "golden/golden_files.h"

namespace rowan {

std::unique_ptr<Backend> make_golden_backend() { return make_cuda_backend(0); }

}  // namespace rowan

#include "golden_files.h"

namespace rowan {

std::unique_ptr<Backend> make_golden_backend() { return make_cpu_backend(1); }

}  // namespace rowan

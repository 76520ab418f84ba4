// The backend under test is the CPU backend with two threads.
#include "suite.h"

namespace rowan::test {

std::unique_ptr<Backend> make_backend_under_test() { return make_cpu_backend(2); }

}  // namespace rowan::test

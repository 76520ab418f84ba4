// The ranks of a multi-rank test program: started once in main(), shared by all tests.
#pragma once

#include "dist/communicator.h"

namespace rowan {

Communicator& ranks();

}  // namespace rowan

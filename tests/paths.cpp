#include "paths.h"

namespace rowan {

std::string source_path(const std::string& relative) { return ROWAN_SOURCE_DIR "/" + relative; }
std::string rowan_binary() { return ROWAN_BINARY; }
std::string mpirun() { return ROWAN_MPIRUN; }

}  // namespace rowan

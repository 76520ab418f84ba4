#include "base/version.h"

namespace rowan {

std::string version() {
  const std::string commit = ROWAN_COMMIT;
  return ROWAN_VERSION + (commit.empty() ? "" : " (" + commit + ")");
}

}  // namespace rowan

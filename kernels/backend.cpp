#include "kernels/backend.h"

namespace rowan {

const char* name_of(Category category) {
  static const char* const names[category_count] = {"weights",     "masters",   "gradients", "optimizer_state",
                                                    "activations", "workspace", "data"};
  return names[static_cast<int>(category)];
}

}  // namespace rowan

// The categories of device memory.
#pragma once

#include <cstdint>

#include "base/enum_names.h"

namespace rowan {

enum class Category : uint8_t { weights, masters, gradients, optimizer_state, activations, workspace, data };
constexpr auto names_of(Category) {
  return enum_names("weights", "masters", "gradients", "optimizer_state", "activations", "workspace", "data");
}
inline constexpr int category_count = count_of<Category>;

}  // namespace rowan

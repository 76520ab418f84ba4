// The precision in which an optimizer computes or stores values.
#pragma once

#include <cstdint>

#include "base/enum_names.h"

namespace rowan {

enum class Precision : uint8_t { automatic, fp32, bf16 };
constexpr auto names_of(Precision) { return enum_names("auto", "fp32", "bf16"); }

}  // namespace rowan

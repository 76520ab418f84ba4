// The spellings of enum values in files, on the command line and in messages. A function names_of() beside the enum
// lists them in the order of the values, which must be 0, 1, 2, ...:
//
//   enum class Order { shuffled, sequential };
//   constexpr auto names_of(Order) { return enum_names("shuffled", "sequential"); }
//
// name_of() writes a value; named() in base/names.h and JsonObject::choice() read one. C++17, because CUDA sources
// include this header.
#pragma once

#include <array>
#include <cstddef>

namespace rowan {

template <typename... Names>
constexpr std::array<const char*, sizeof...(Names)> enum_names(Names... names) {
  return {names...};
}

template <typename Enum, typename = decltype(names_of(Enum()))>
constexpr const char* name_of(Enum value) {
  return names_of(value)[static_cast<size_t>(value)];
}

// The number of values of an enum.
template <typename Enum>
constexpr int count_of = static_cast<int>(names_of(Enum()).size());

}  // namespace rowan

// Choosing a device by name.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"

namespace rowan {

// automatic: a GPU where build and machine have one, else the CPU.
enum class Device : uint8_t { automatic, cpu, cuda };
constexpr auto names_of(Device) { return enum_names("auto", "cpu", "cuda"); }

// `threads` is for the CPU (0: all cores), `index` the GPU. Throws Error when a GPU or the kernels that are asked for
// cannot be had; those of cuDNN ask for a GPU.
std::unique_ptr<Backend> make_backend(Device device, int threads, int index,
                                      AttentionKernels attention = AttentionKernels::rowan);

}  // namespace rowan

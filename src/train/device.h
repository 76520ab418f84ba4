// Chooses a device by name.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"

namespace rowan {

// automatic: a GPU if build and machine have one, else the CPU.
enum class Device : uint8_t { automatic, cpu, cuda };
constexpr auto names_of(Device) { return enum_names("auto", "cpu", "cuda"); }

// `threads` is for the CPU (0: all cores), `index` selects the GPU. Throws Error when the requested GPU or kernels are
// not available; cuDNN's kernels need a GPU.
std::unique_ptr<Backend> make_backend(Device device, int threads, int index,
                                      AttentionKernels attention = AttentionKernels::rowan);

}  // namespace rowan

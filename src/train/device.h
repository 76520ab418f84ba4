// Makes the backend of a device.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/model_rules.h"

namespace rowan {

class Backend;

// automatic: a GPU if the build supports CUDA and the machine has one, else the CPU.
enum class Device : uint8_t { automatic, cpu, cuda };
constexpr auto names_of(Device) { return enum_names("auto", "cpu", "cuda"); }

// `threads` is the number of CPU threads (0: all cores). `index` selects the GPU. Throws Error if the requested GPU or
// kernels are not available; cuDNN's kernels need a GPU.
std::unique_ptr<Backend> make_backend(Device device, int threads, int index,
                                      AttentionKernels attention = AttentionKernels::rowan);

}  // namespace rowan

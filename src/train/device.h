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

// `threads` is the number of CPU threads (0: all cores). `index` selects the GPU. cuDNN's attention kernels need a GPU,
// so with them `automatic` means cuda. Throws Error if the GPU or the attention kernels are not available.
std::unique_ptr<Backend> make_backend(Device device, int threads, int index,
                                      AttentionKernels attention = AttentionKernels::rowan);

}  // namespace rowan

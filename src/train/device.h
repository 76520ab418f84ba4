// The device on which a run computes, and its backend.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/model_rules.h"

namespace rowan {

class Backend;

// automatic: a GPU if its backend can be made, else the CPU.
enum class Device : uint8_t { automatic, cpu, cuda };
constexpr auto names_of(Device) { return enum_names("auto", "cpu", "cuda"); }

// `threads` is for the CPU (make_cpu_backend). `index` selects the GPU. cuDNN's attention kernels need a GPU, so with
// them `automatic` means cuda. Throws Error if a GPU or attention kernels are required and not available.
std::unique_ptr<Backend> make_backend(Device device, int threads, int index,
                                      AttentionKernels attention = AttentionKernels::rowan);

}  // namespace rowan

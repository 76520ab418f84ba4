// Choosing a device by name.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"

namespace rowan {

// "cpu"; "cuda"; "auto": a GPU where build and machine have one, else the CPU. `threads` is for the CPU (0: all cores),
// `index` the GPU. Throws Error when "cuda" or the kernels cannot be had; those of cuDNN ask for a GPU.
std::unique_ptr<Backend> make_backend(const std::string& device, int threads, int index,
                                      AttentionKernels attention = AttentionKernels::rowan);

}  // namespace rowan

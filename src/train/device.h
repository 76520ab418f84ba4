// Choosing a device by name.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"

namespace rowan {

// "cpu"; "cuda"; "auto": a GPU where build and machine have one, else the CPU. `threads` is for the CPU (0: all cores),
// `index` the GPU. Throws Error when "cuda" cannot be had.
std::unique_ptr<Backend> make_backend(const std::string& device, int threads, int index);

}  // namespace rowan

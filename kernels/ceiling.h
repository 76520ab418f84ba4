// Ceilings: the rates a device reaches on nothing but products or copies, measured where a speed is to be judged.
#pragma once

#include <functional>

#include "kernels/backend.h"

namespace rowan {

// Median seconds of `work` over `repeats` runs after one that does not count.
double median_seconds(Backend& backend, int repeats, const std::function<void()>& work);

// FLOP/s of the square product of size n: c = a b.
double square_product_rate(Backend& backend, DType dtype, int64_t n = 2048);

// Bytes/s of a copy, counting both the bytes read and the bytes written.
double copy_rate(Backend& backend, size_t bytes = size_t{256} << 20);

}  // namespace rowan

// Ceilings: the rates that a device reaches on matrix products alone or copies alone, measured in the same run as the
// speeds that are compared with them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/tensor.h"

namespace rowan {

class Backend;

// Seconds that `work` takes, from an idle device until the device has finished.
double seconds_of(Backend& backend, const std::function<void()>& work);

// Median seconds of `work` over `repeats` runs after one warm-up run.
double median_seconds(Backend& backend, int repeats, const std::function<void()>& work);

// Fills x with random values. On zeros a GPU draws less power and runs at higher clocks (products are about 13%
// faster).
void fill_random(Backend& backend, Tensor x);

// FLOP/s of a square product of size n. n = 0: a size large enough to reach the device's best rate.
double square_product_rate(Backend& backend, DType dtype, int64_t n = 0);

// FLOP/s of dense bf16 products with fp32 accumulation, from the data sheet of the device whose name `description`
// contains. Empty if the device is unknown or dtype is not bf16.
std::optional<double> published_product_rate(const std::string& description, DType dtype);

// The denominator of MFU: the published rate, or the measured rate of square products if none is published.
double peak_product_rate(Backend& backend, DType dtype);

// Bytes/s of a copy of `bytes` bytes, counting reads plus writes. bytes = 0: large enough to reach the best rate.
double copy_rate(Backend& backend, size_t bytes = 0);

}  // namespace rowan

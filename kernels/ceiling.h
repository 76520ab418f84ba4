// Ceilings: the rates a device reaches on pure matrix products or pure copies, measured next to the speeds that are
// compared with them.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "kernels/backend.h"

namespace rowan {

// Seconds of `work`, from an idle device until the device has finished.
double seconds_of(Backend& backend, const std::function<void()>& work);

// Median seconds of `work` over `repeats` runs after one warm-up run.
double median_seconds(Backend& backend, int repeats, const std::function<void()>& work);

// Fills x with random values. On zeros a GPU draws less power and multiplies at higher clocks (some 13% faster).
void fill_random(Backend& backend, Tensor x);

// FLOP/s of a square product of size n. n = 0: a size large enough to reach the device's best rate.
double square_product_rate(Backend& backend, DType dtype, int64_t n = 0);

// Dense FLOP/s with fp32 accumulation from the device's data sheet, looked up by a name that describe() contains;
// nothing if unknown.
std::optional<double> published_product_rate(const std::string& description, DType dtype);

// The denominator of MFU: the published rate, or the measured rate of square products if none is published.
double peak_product_rate(Backend& backend, DType dtype);

// Bytes/s of a copy, counting bytes read plus bytes written. bytes = 0: large enough to reach the best rate.
double copy_rate(Backend& backend, size_t bytes = 0);

}  // namespace rowan

// Ceilings: the rates a device reaches on nothing but products or copies, measured where a speed is to be judged.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "kernels/backend.h"

namespace rowan {

// Seconds of `work`, which the device begins idle and ends.
double seconds_of(Backend& backend, const std::function<void()>& work);

// Median seconds of `work` over `repeats` runs after one that does not count.
double median_seconds(Backend& backend, int repeats, const std::function<void()>& work);

// Values as those of a run: a GPU draws less power on zeros and multiplies them at higher clocks.
void fill_random(Backend& backend, Tensor x);

// FLOP/s of the square product of size n: c = a b. n = 0: large enough for the device to show what it can.
double square_product_rate(Backend& backend, DType dtype, int64_t n = 0);

// Dense FLOP/s of a device's data sheet, with fp32 accumulation, by the name that describe() holds; nothing when it is
// not known.
std::optional<double> published_product_rate(const std::string& description, DType dtype);

// What MFU is a fraction of: the published rate, or the measured one of square products where none is published.
double peak_product_rate(Backend& backend, DType dtype);

// Bytes/s of a copy, counting both the bytes read and the bytes written. bytes = 0: large enough to tell.
double copy_rate(Backend& backend, size_t bytes = 0);

}  // namespace rowan

// Ceilings: the rates that a device reaches when it computes only matrix products, or only copies. Also functions that
// measure time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/tensor.h"

namespace rowan {

class Backend;

// Seconds that `work` takes. The device is idle when the clock starts, and has finished `work` when the clock stops.
double seconds_of(Backend& backend, const std::function<void()>& work);

// Median seconds of `work` over `repeats` runs after one warm-up run.
double median_seconds(Backend& backend, int repeats, const std::function<void()>& work);

// Fills x with random values, which repeat after 65,536. Uploads them once. With zeros, a GPU would draw less power,
// and products would be unrealistically fast.
void fill_random(Backend& backend, Tensor x);

// FLOP/s of the product of two n x n matrices. If n is 0, a CPU uses n = 2048, and a GPU n = 8192.
double square_product_rate(Backend& backend, DType dtype, int64_t n = 0);

// FLOP/s of dense bf16 products with fp32 accumulation, from NVIDIA's data sheets. `description` contains the device's
// name. Empty if the device is unknown or dtype is not bf16.
std::optional<double> published_product_rate(const std::string& description, DType dtype);

// The denominator of MFU (model FLOPs utilization): the published rate if there is one, else the measured rate of
// square products.
double peak_product_rate(Backend& backend, DType dtype);

// Bytes per second that are read and written when `bytes` bytes are copied. If `bytes` is 0, a CPU copies 256 MiB, and
// a GPU 1 GiB.
double copy_rate(Backend& backend, size_t bytes = 0);

}  // namespace rowan

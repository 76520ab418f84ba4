// Transfers fp32 values of the host to and from tensors of either floating dtype.
#pragma once

#include "base/tensor.h"

namespace rowan {

class Backend;

// `values` holds as many numbers as the tensor has elements. Uploads to bf16 tensors round to nearest even.
void upload_floats(Backend& backend, Tensor to, const float* values);
void download_floats(Backend& backend, float* values, Tensor from);

}  // namespace rowan

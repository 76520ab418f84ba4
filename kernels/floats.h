// Transfers fp32 values between the host and tensors of dtype fp32 or bf16.
#pragma once

#include "base/tensor.h"

namespace rowan {

class Backend;

// `values` holds as many numbers as the tensor has elements. Uploads to bf16 tensors round to nearest even.
void upload_floats(Backend& backend, Tensor to, const float* values);
void download_floats(Backend& backend, float* values, Tensor from);

}  // namespace rowan

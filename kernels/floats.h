// Host values in fp32 to and from tensors of either floating dtype.
#pragma once

#include "kernels/backend.h"

namespace rowan {

// `values` holds to.numel() numbers; bf16 tensors get them rounded to nearest even.
void upload_floats(Backend& backend, Tensor to, const float* values);
void download_floats(Backend& backend, float* values, Tensor from);

}  // namespace rowan

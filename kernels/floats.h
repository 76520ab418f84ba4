// Transfers fp32 values of the host to and from tensors of either floating dtype.
#pragma once

#include "kernels/backend.h"

namespace rowan {

// `values` holds to.numel() numbers; for bf16 tensors they are rounded to nearest even.
void upload_floats(Backend& backend, Tensor to, const float* values);
void download_floats(Backend& backend, float* values, Tensor from);

}  // namespace rowan

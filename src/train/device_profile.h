// The rates that a GPU reaches, for the time budget of a step (train/step_budget.h).
#pragma once

#include <string>

#include "base/tensor.h"

namespace rowan {

// Rates of one GPU, in bytes or FLOPs per second.
struct DeviceProfile {
  std::string name;
  double copy = 0;                                       // memory bandwidth: bytes read plus bytes written by a copy
  double link = 0;                                       // bandwidth to other GPUs, one way; 0: unknown
  double bf16 = 0, tf32 = 0, fp32 = 0;                   // FLOP/s of matrix products, by dtype of the operands
  double attention_forward = 0, attention_backward = 0;  // Rowan's tensor-core kernels, in executed FLOPs
  double memory = 0;                                     // memory size in bytes; 0: unknown
  bool fused_gelu = false;                               // whether GELU runs in the epilogue of the product

  // FLOP/s of matrix products with operands of this dtype. `tf32`: fp32 operands are rounded to TF32.
  double products(DType dtype, bool tf32) const { return dtype == DType::bf16 ? bf16 : tf32 ? this->tf32 : fp32; }
};

// A named profile, or one from a JSON file with the fields above as keys. Throws Error naming the nearest name, or
// file, line and key.
DeviceProfile device_profile(const std::string& name_or_file);

}  // namespace rowan

// What a GPU reaches, for the budget of a step (train/step_budget.h).
#pragma once

#include <string>

#include "base/tensor.h"

namespace rowan {

// Rates are bytes or FLOPs a second of one GPU.
struct DeviceProfile {
  std::string name;
  double copy = 0;                                       // memory, read and written by a copy
  double link = 0;                                       // to other GPUs, one way; 0: unknown
  double bf16 = 0, tf32 = 0, fp32 = 0;                   // products, by the dtype of their factors
  double attention_forward = 0, attention_backward = 0;  // Rowan's kernels on tensor cores, of the FLOPs they execute
  double memory = 0;                                     // bytes; 0: unknown
  bool fused_gelu = false;                               // in the epilogue of the product

  // Of products of factors of this dtype; `tf32`: those of f32 are TF32's.
  double products(DType dtype, bool tf32) const { return dtype == DType::bf16 ? bf16 : tf32 ? this->tf32 : fp32; }
};

// A named profile, or one from a JSON file with the fields above as keys. Throws Error naming the nearest name, or
// file, line and key.
DeviceProfile device_profile(const std::string& name_or_file);

}  // namespace rowan

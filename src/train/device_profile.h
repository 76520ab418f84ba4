// The rates that a GPU reaches, for the time budget of a step (train/step_budget.h).
#pragma once

#include <string>

#include "base/tensor.h"

namespace rowan {

// One GPU. Its rates are in bytes or FLOPs per second.
struct DeviceProfile {
  std::string name;
  double copy = 0;                                       // memory bandwidth: bytes that a copy reads and writes
  double link = 0;                                       // bandwidth to other GPUs in one direction; 0: unknown
  double bf16 = 0, tf32 = 0, fp32 = 0;                   // matrix products, by dtype of the operands
  double attention_forward = 0, attention_backward = 0;  // Rowan's tensor-core attention, counting all FLOPs executed
  double memory = 0;                                     // memory size in bytes; 0: unknown
  bool fused_epilogues = false;                          // whether products compute GELU and bias gradients, too

  // FLOP/s of matrix products with operands of this dtype. `tf32`: products round fp32 operands to TF32.
  double products(DType dtype, bool tf32) const { return dtype == DType::bf16 ? bf16 : tf32 ? this->tf32 : fp32; }
};

// Returns a built-in profile by its name, or reads one from a JSON file whose keys are the fields above except `name`.
// Throws Error naming the built-in profiles, or the file.
DeviceProfile device_profile(const std::string& name_or_file);

}  // namespace rowan

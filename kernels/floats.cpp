#include "kernels/floats.h"

#include "kernels/backend.h"

namespace rowan {

void upload_floats(Backend& backend, Tensor to, const float* values) {
  if (to.dtype == DType::f32) return backend.upload(to, values);
  std::vector<bf16> rounded(static_cast<size_t>(to.numel()));
  for (size_t i = 0; i < rounded.size(); ++i) rounded[i] = to_bf16(values[i]);
  backend.upload(to, rounded.data());
}

void download_floats(Backend& backend, float* values, Tensor from) {
  if (from.dtype == DType::f32) return backend.download(values, from);
  std::vector<bf16> stored(static_cast<size_t>(from.numel()));
  backend.download(stored.data(), from);
  for (size_t i = 0; i < stored.size(); ++i) values[i] = to_float(stored[i]);
}

}  // namespace rowan

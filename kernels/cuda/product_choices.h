// The cuBLASLt algorithms that a run has chosen by timing. They are kept in a file in the run's folder. A process that
// continues the run then makes the same choices and computes the same bits. C++17, because CUDA sources include this
// header.
#pragma once

#include <cublasLt.h>

#include <map>
#include <string>

namespace rowan::cuda {

class ProductChoices {
 public:
  // Reads the file if it exists. `device` names the GPU and cuBLASLt's version. Choices from another device are
  // ignored, because an algorithm is valid only on the device that returned it. Throws Error if the file is damaged.
  ProductChoices(const std::string& file, const std::string& device);

  // The choice for a product, or null.
  const cublasLtMatmulAlgo_t* find(const std::string& product) const;
  // Adds a choice. Then writes all choices to the file if the file's folder exists. A new run computes its first
  // products before it creates the folder.
  void keep(const std::string& product, const cublasLtMatmulAlgo_t& algorithm);

 private:
  std::string file_, device_;
  std::map<std::string, cublasLtMatmulAlgo_t> choices_;
};

}  // namespace rowan::cuda

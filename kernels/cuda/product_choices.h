// The algorithms of cuBLASLt that a run has chosen by time, in a file of the run's folder: a process that continues the
// run makes the same choices and so computes the same bits. C++17.
#pragma once

#include <cublasLt.h>

#include <map>
#include <string>

namespace rowan::cuda {

class ProductChoices {
 public:
  // Reads the file if it is there. Choices that were made on another `device` (the GPU and cuBLASLt's version) are
  // dropped, because an algorithm is valid on its own device only. Throws Error naming file and field.
  ProductChoices(const std::string& file, const std::string& device);

  // The choice for a product, or null.
  const cublasLtMatmulAlgo_t* find(const std::string& product) const;
  // Adds a choice, and writes all of them if the file's folder exists: that of a new run comes after its first
  // products.
  void keep(const std::string& product, const cublasLtMatmulAlgo_t& algorithm);

 private:
  std::string file_, device_;
  std::map<std::string, cublasLtMatmulAlgo_t> choices_;
};

}  // namespace rowan::cuda

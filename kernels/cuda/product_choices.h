// What a run has chosen by timing its matrix products, kept in a file, so that a process that continues the run can
// make the same choices. The file's format is that of text(). C++17, because CUDA sources include this header.
#pragma once

#include <cublasLt.h>

#include <map>
#include <string>

namespace rowan::cuda {

// How a product runs: by a cuBLASLt algorithm or, if it has an epilogue, perhaps without the epilogue.
struct ProductChoice {
  // The caller computes a product without an epilogue, and then what the epilogue would have computed.
  bool apart = false;
  cublasLtMatmulAlgo_t algorithm{};  // if not apart
};

class ProductChoices {
 public:
  // Reads the file if it exists. `device` names the GPU and cuBLASLt's version. If the file names another device, the
  // file's choices are ignored, because they may be invalid on this device. Throws Error if the file is damaged.
  ProductChoices(const std::string& file, const std::string& device);

  // The choice for a product, or null.
  const ProductChoice* find(const std::string& product) const;
  bool empty() const { return choices_.empty(); }
  void add(const std::string& product, const ProductChoice& choice) { choices_[product] = choice; }
  // Writes all choices to the file if the file's folder exists.
  void save() const;

  // The device and all choices, as JSON.
  std::string text() const;
  // Adds the choices of `text` if it names this device. Throws Error, which names `source`, if the text is damaged.
  void read(const std::string& source, const std::string& text);

 private:
  std::string file_, device_;
  std::map<std::string, ProductChoice> choices_;
};

}  // namespace rowan::cuda

// The CPU backend. Its results specify the operations of kernels/backend.h. Tests compare the CUDA backend with it.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/products.h"
#include "kernels/cpu/scratch.h"
#include "kernels/thread_pool.h"

namespace rowan {

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(int threads);
  ~CpuBackend() override;

  std::string name() const override { return "cpu"; }
  std::string describe() const override;
  std::string arithmetic() const override;
  bool fast(DType dtype) const override;
  double exponential_rate() override;  // rates.cpp
  bool host_memory() const override { return true; }

  void* allocate(size_t bytes, Category category) override;
  void release(void* memory) override;

 private:
#define ROWAN_OPERATION override
#include "kernels/backend_overrides.inc"

  struct Block {
    void* base;     // address that mmap or aligned_alloc returned
    size_t length;  // length of the mapping; 0: allocated by aligned_alloc
  };

  void multiply(const Product& product);

  ThreadPool threads_;
  TileProducts tile_products_{threads_};
  Bf16Products bf16_products_{threads_};
  std::unordered_map<void*, Block> blocks_;
  cpu::Scratch scratch_;
};

}  // namespace rowan

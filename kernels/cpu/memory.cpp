// Allocation, transfers, copies and zeroing of the CPU backend, and the backend's description, constructor and factory.
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vector.h"

namespace rowan {
namespace {

constexpr size_t huge_page = size_t{2} << 20;

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.rfind("model name", 0) == 0 && line.find(": ") != std::string::npos)
      return line.substr(line.find(": ") + 2);
  return "CPU";
}

}  // namespace

CpuBackend::CpuBackend(int threads) : threads_(threads > 0 ? threads : default_threads()) {}

CpuBackend::~CpuBackend() {
  while (!blocks_.empty()) release(blocks_.begin()->first);
}

std::string CpuBackend::describe() const {
  return fmt::format("{}, {} thread{}, {}, {}", cpu_model(), threads_.size(), threads_.size() == 1 ? "" : "s",
                     ROWAN_CPU_LEVEL, Bf16Products::describe());
}

// oneDNN chooses its instructions by the model of the CPU.
std::string CpuBackend::arithmetic() const {
  const std::string level = fmt::format("CPU level {}", ROWAN_CPU_LEVEL);
  return Bf16Products::fast() ? fmt::format("{} ({}, {})", level, cpu_model(), Bf16Products::describe()) : level;
}

bool CpuBackend::fast(DType dtype) const { return dtype != DType::bf16 || Bf16Products::fast(); }

// Large blocks come from mmap: the system allocates zeroed pages when they are first touched, and madvise requests huge
// pages.
void* CpuBackend::allocate(size_t bytes, Category category) {
  Block block{nullptr, 0};
  void* memory = nullptr;
  if (bytes >= 2 * huge_page) {
    block.length = bytes + huge_page;
    block.base = mmap(nullptr, block.length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block.base != MAP_FAILED) {
      uintptr_t start = (reinterpret_cast<uintptr_t>(block.base) + huge_page - 1) / huge_page * huge_page;
      memory = reinterpret_cast<void*>(start);
      madvise(memory, bytes, MADV_HUGEPAGE);
    }
  } else {
    size_t rounded = (std::max<size_t>(bytes, 1) + 63) / 64 * 64;
    memory = block.base = std::aligned_alloc(64, rounded);
    if (memory) std::memset(memory, 0, rounded);
  }
  if (!memory) throw OutOfMemory(fmt::format("out of memory: {} bytes for {}", bytes, name_of(category)));
  blocks_.emplace(memory, block);
  return memory;
}

void CpuBackend::release(void* memory) {
  auto found = blocks_.find(memory);
  if (found == blocks_.end()) return;
  if (found->second.length > 0)
    munmap(found->second.base, found->second.length);
  else
    std::free(found->second.base);
  blocks_.erase(found);
}

void CpuBackend::do_upload(Tensor to, const void* host) { std::memcpy(to.data, host, to.bytes()); }

void CpuBackend::do_download(void* host, Tensor from) { std::memcpy(host, from.data, from.bytes()); }

void CpuBackend::do_synchronize() {}

void CpuBackend::do_copy(Tensor to, Tensor from) {
  if (to.dtype == from.dtype) {
    char *target = to.as<char>(), *source = from.as<char>();
    cpu::parallel_ranges(threads_, static_cast<int64_t>(to.bytes()), 1 << 20, [&](int64_t begin, int64_t end) {
      std::memmove(target + begin, source + begin, static_cast<size_t>(end - begin));
    });
    return;
  }
  cpu::with_dtype(to.dtype, [&](auto t) {
    cpu::with_dtype(from.dtype, [&](auto f) {
      auto* target = to.as<decltype(t)>();
      auto* source = from.as<decltype(f)>();
      cpu::parallel_ranges(threads_, to.numel(), 65536, [&](int64_t begin, int64_t end) {
#pragma omp simd
        for (int64_t i = begin; i < end; ++i) cpu::store(target[i], cpu::load(source[i]));
      });
    });
  });
}

void CpuBackend::do_zero(Tensor x) {
  cpu::parallel_ranges(threads_, static_cast<int64_t>(x.bytes()), 1 << 20, [&](int64_t begin, int64_t end) {
    std::memset(x.as<char>() + begin, 0, static_cast<size_t>(end - begin));
  });
}

}  // namespace rowan

extern "C" rowan::Backend* ROWAN_CPU_FACTORY(int threads);  // called by kernels/cpu_levels.cpp
rowan::Backend* ROWAN_CPU_FACTORY(int threads) { return new rowan::CpuBackend(threads); }

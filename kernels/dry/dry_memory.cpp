// Memory by category, scratch memory, transfers and copies, and the functions that add to the counted work.
#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernels/dry/dry_backend.h"
#include "kernels/gpu_limits.h"
#include "kernels/gpu_workspace.h"

namespace rowan {

DryBackend::DryBackend(AttentionKernels attention, int multiprocessors)
    : attention_(attention), multiprocessors_(multiprocessors) {
  if (multiprocessors_) allocate(blas_workspace_bytes, Category::workspace);
}

Limits DryBackend::limits() const { return multiprocessors_ ? gpu_limits(planned_shared_bytes) : Limits(); }

Work DryBackend::work() const {
  Work total;
  for (const Work& w : work_) {
    total.calls += w.calls;
    total.flops += w.flops;
    total.recomputed += w.recomputed;
    total.flops_full += w.flops_full;
    total.bytes += w.bytes;
    total.exponentials += w.exponentials;
  }
  return total;
}

void* DryBackend::allocate(size_t bytes, Category category) {
  if (bytes > PTRDIFF_MAX - total_)
    throw OutOfMemory(fmt::format("out of memory: 2^63 bytes or more for {}", name_of(category)));
  uintptr_t address = next_address_;
  next_address_ += (bytes / 64 + 1) * 64;
  blocks_.emplace(address, Block{bytes, category});
  size_t i = static_cast<size_t>(category);
  current_[i] += bytes;
  peak_[i] = std::max(peak_[i], current_[i]);
  total_ += bytes;
  total_peak_ = std::max(total_peak_, total_);
  return reinterpret_cast<void*>(address);
}

void DryBackend::release(void* memory) {
  auto found = blocks_.find(reinterpret_cast<uintptr_t>(memory));
  if (found == blocks_.end()) return;
  current_[static_cast<size_t>(found->second.category)] -= found->second.bytes;
  total_ -= found->second.bytes;
  blocks_.erase(found);
}

void DryBackend::use_scratch(double bytes) {
  if (bytes <= scratch_bytes_) return;
  release(scratch_);
  scratch_ = allocate(static_cast<size_t>(bytes), Category::workspace);
  scratch_bytes_ = bytes;
}

void DryBackend::use_eigen_scratch(const std::vector<Tensor>& matrices, int64_t squares, int64_t more) {
  for (size_t begin = 0; begin < matrices.size();) {
    const auto k = static_cast<double>(matrices[begin].dim(0));
    const int64_t n = multiprocessors_ ? eigen_batch(matrices, begin, squares) : 1;
    const double doubles =
        multiprocessors_ ? static_cast<double>(squares) * k * k + k + static_cast<double>(more) : 2 * k * k;
    use_scratch(sizeof(double) * static_cast<double>(n) * doubles);
    begin += static_cast<size_t>(n);
  }
}

void DryBackend::count(OpFamily family, Tensors reads, Tensors writes) {
  ++work_[static_cast<size_t>(family)].calls;
  kernels_.push_back({operation_, family == OpFamily::optimizer ? Bound::optimizer : Bound::copy});
  touch(family, reads);
  touch(family, writes);
}

void DryBackend::touch(OpFamily family, Tensors tensors) {
  for (const Tensor& x : tensors) {
    work_[static_cast<size_t>(family)].bytes += static_cast<double>(x.bytes());
    kernels_.back().bytes += static_cast<double>(x.bytes());
  }
}

void DryBackend::count_products(OpFamily family, double full, double causal) {
  Work& work = work_[static_cast<size_t>(family)];
  work.flops += causal;
  work.flops_full += full;
  kernels_.back().bound = Bound::product;
  kernels_.back().flops += full;
}

void DryBackend::count_exponentials(OpFamily family, double number) {
  work_[static_cast<size_t>(family)].exponentials += number;
}

void DryBackend::do_upload(Tensor to, const void*) { count(OpFamily::transfer, {}, {to}); }

void DryBackend::do_download(void* host, Tensor from) {
  count(OpFamily::transfer, {from}, {});
  std::memset(host, 0, from.bytes());
}

void DryBackend::do_synchronize() {}

void DryBackend::do_copy(Tensor to, Tensor from) { count(OpFamily::transfer, {from}, {to}); }

void DryBackend::do_swap_axes(Tensor to, Tensor from) { count(OpFamily::transfer, {from}, {to}); }

void DryBackend::do_zero(Tensor x) { count(OpFamily::transfer, {}, {x}); }

std::unique_ptr<DryBackend> make_dry_backend(AttentionKernels attention, int multiprocessors) {
  return std::make_unique<DryBackend>(attention, multiprocessors);
}

}  // namespace rowan

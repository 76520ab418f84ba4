#include <algorithm>
#include <cstring>

#include "kernels/dry/dry_backend.h"

namespace rowan {

Work DryBackend::work() const {
  Work total;
  for (const Work& w : work_) {
    total.calls += w.calls;
    total.flops += w.flops;
    total.flops_full += w.flops_full;
    total.bytes += w.bytes;
  }
  return total;
}

void* DryBackend::allocate(size_t bytes, Category category) {
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

Work& DryBackend::count(OpFamily family, Tensors reads, Tensors writes) {
  Work& work = work_[static_cast<size_t>(family)];
  ++work.calls;
  for (const Tensor& x : reads) work.bytes += static_cast<double>(x.bytes());
  for (const Tensor& x : writes) work.bytes += static_cast<double>(x.bytes());
  return work;
}

void DryBackend::count_products(OpFamily family, double full, double causal) {
  Work& work = work_[static_cast<size_t>(family)];
  work.flops += causal;
  work.flops_full += full;
}

void DryBackend::do_upload(Tensor to, const void*) { count(OpFamily::transfer, {}, {to}); }

void DryBackend::do_download(void* host, Tensor from) {
  count(OpFamily::transfer, {from}, {});
  std::memset(host, 0, from.bytes());
}

void DryBackend::do_synchronize() {}

void DryBackend::do_copy(Tensor to, Tensor from) { count(OpFamily::transfer, {from}, {to}); }

void DryBackend::do_zero(Tensor x) { count(OpFamily::transfer, {}, {x}); }

std::unique_ptr<DryBackend> make_dry_backend(AttentionKernels attention) {
  return std::make_unique<DryBackend>(attention);
}

}  // namespace rowan

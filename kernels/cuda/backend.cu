// The device: start-up, memory, transfers and error messages.
#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
#define ROWAN_NVTX
#endif

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_cudnn.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/product_choices.h"
#include "kernels/cuda/vector.cuh"
#include "kernels/gpu_limits.h"
#include "kernels/gpu_workspace.h"

namespace rowan {
namespace {

constexpr size_t staging_bytes = size_t{1} << 20, landing_bytes = size_t{64} << 10;

std::string gigabytes(size_t bytes) { return fmt::format("{:.2f} GB", static_cast<double>(bytes) * 1e-9); }

// ROWAN_CUDA_GRAPHS=1 turns CUDA graphs on. Graphs mainly save host time. They are off by default, because in large
// steps the GPU is busy longer than the host.
bool records_asked_for() {
  const char* set = std::getenv("ROWAN_CUDA_GRAPHS");
  std::string choice = set ? set : "0";
  if (choice != "0" && choice != "1") fail("ROWAN_CUDA_GRAPHS: found '{}', expected 0 or 1", choice);
  return choice == "1";
}

template <typename To, typename From, int width>
__global__ void convert_kernel(To* to, const From* from, int64_t count) {
  cuda::for_elements<width>(count, [&](int64_t i, auto w) {
    float values[decltype(w)::value];
    cuda::load(values, from + i);
    cuda::store(to + i, values);
  });
}

}  // namespace

void CudaBackend::begin(const char* operation, const Tensor& subject) {
  operation_ = operation;
  subject_ = subject;
#ifdef ROWAN_NVTX
  nvtxRangePushA(operation);
#endif
}

void CudaBackend::end() {
#ifdef ROWAN_NVTX
  nvtxRangePop();
#endif
}

CudaBackend::CudaBackend(int index, AttentionKernels attention) : index_(index) {
  check(cudaSetDevice(index));
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, index));
  if (properties.major < 8)
    fail("device: GPU {}: found {} of compute capability {}.{}, expected 8.0 (Ampere) or later", index, properties.name,
         properties.major, properties.minor);
  multiprocessors_ = properties.multiProcessorCount;
  shared_limit_ = static_cast<int64_t>(properties.sharedMemPerBlockOptin) - 1024;  // 1 KB is left for static arrays
  hopper_ = properties.major >= 9;
  records_ = records_asked_for();
  size_t free_bytes, total_bytes;
  check(cudaMemGetInfo(&free_bytes, &total_bytes));
  description_ = fmt::format("GPU {}: {} (compute capability {}.{}), {}", index, properties.name, properties.major,
                             properties.minor, gigabytes(total_bytes));
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  for (Staging& staging : staging_) {
    check(cudaMallocHost(&staging.memory, staging_bytes));
    check(cudaEventCreateWithFlags(&staging.free, cudaEventDisableTiming));
  }
  check(cudaMallocHost(&landing_, landing_bytes));
  check(cudaMallocHost(reinterpret_cast<void**>(&bad_id_), 2 * sizeof(int)));
  bad_id_[0] = 0;
  check(cublasLtCreate(&blas_));
  blas_workspace_ = reserve(blas_workspace_bytes, Category::workspace);
  if (attention == AttentionKernels::cudnn) {
    cudnn_ = cuda::make_cudnn_attention(stream_);
    description_ += ", attention of " + cudnn_->describe();
  }
}

CudaBackend::~CudaBackend() {
  cudaStreamSynchronize(stream_);
  forget_recordings();
  cudnn_.reset();
  for (auto& [product, plan] : plans_) {
    cublasLtMatmulDescDestroy(plan.description);
    for (cublasLtMatrixLayout_t layout : {plan.a, plan.b, plan.d}) cublasLtMatrixLayoutDestroy(layout);
  }
  if (blas_) cublasLtDestroy(blas_);
  for (Staging& staging : staging_) {
    cudaEventDestroy(staging.free);
    cudaFreeHost(staging.memory);
  }
  cudaFreeHost(landing_);
  cudaFreeHost(bad_id_);
  for (auto& [memory, block] : blocks_) cudaFree(memory);
  cudaStreamDestroy(stream_);
}

void CudaBackend::check(cudaError_t error) {
  if (error == cudaSuccess) return;
  // A kernel that fails while it runs leaves an error that later CUDA calls return too, such as cudaStreamQuery here.
  cudaError_t now = cudaStreamQuery(stream_);
  bool from_before = now != cudaSuccess && now != cudaErrorNotReady && now != cudaErrorStreamCaptureUnsupported &&
                     now != cudaErrorStreamCaptureInvalidated;
  cudaGetLastError();  // clears the error, so that no later operation reports it again
  fail("{} on {}: CUDA reports: {}{}", operation_, subject_.describe(), cudaGetErrorString(error),
       from_before ? "; an earlier operation may have caused it: set CUDA_LAUNCH_BLOCKING=1 to see which" : "");
}

Limits CudaBackend::limits() const { return gpu_limits(shared_limit_); }

unsigned CudaBackend::grid_for(int64_t work, int block) const {
  constexpr int64_t blocks_per_multiprocessor = 16;
  return static_cast<unsigned>(
      std::clamp<int64_t>(cuda::ceil_div(work, block), 1, multiprocessors_ * blocks_per_multiprocessor));
}

void* CudaBackend::reserve(size_t bytes, Category category) {
  void* memory = nullptr;
  cudaError_t error = cudaMalloc(&memory, std::max<size_t>(bytes, 1));
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    size_t free_bytes = 0, total_bytes = 0;
    cudaMemGetInfo(&free_bytes, &total_bytes);
    std::string taken;
    for (int i = 0; i < category_count; ++i)
      if (taken_[i] > 0)
        taken +=
            fmt::format("{}{} {}", taken.empty() ? "" : ", ", name_of(static_cast<Category>(i)), gigabytes(taken_[i]));
    throw OutOfMemory(
        fmt::format("out of memory: {} bytes ({}) for {} on GPU {}, which has {} of {} free (taken so far: {})", bytes,
                    gigabytes(bytes), name_of(category), index_, gigabytes(free_bytes), gigabytes(total_bytes),
                    taken.empty() ? "nothing" : taken));
  }
  check(error);
  blocks_.emplace(memory, std::make_pair(bytes, category));
  taken_[static_cast<size_t>(category)] += bytes;
  return memory;
}

void* CudaBackend::allocate(size_t bytes, Category category) {
  void* memory = reserve(bytes, category);
  check(cudaMemsetAsync(memory, 0, bytes, stream_));
  return memory;
}

void CudaBackend::release(void* memory) {
  auto found = blocks_.find(memory);
  if (found == blocks_.end()) return;
  forget_recordings();
  taken_[static_cast<size_t>(found->second.second)] -= found->second.first;
  blocks_.erase(found);
  cudaStreamSynchronize(stream_);
  cudaFree(memory);
}

void* CudaBackend::workspace(size_t bytes) {
  if (bytes > workspace_bytes_) {
    release(workspace_);
    workspace_ = nullptr;
    workspace_bytes_ = 0;
    workspace_ = reserve(bytes, Category::workspace);
    workspace_bytes_ = bytes;
  }
  return workspace_;
}

void CudaBackend::do_upload(Tensor to, const void* host) {
  for (size_t done = 0; done < to.bytes(); done += staging_bytes) {
    size_t bytes = std::min(staging_bytes, to.bytes() - done);
    Staging& staging = staging_[next_staging_];
    next_staging_ = (next_staging_ + 1) % staging_.size();
    check(cudaEventSynchronize(staging.free));
    std::memcpy(staging.memory, static_cast<const char*>(host) + done, bytes);
    check(cudaMemcpyAsync(to.as<char>() + done, staging.memory, bytes, cudaMemcpyHostToDevice, stream_));
    check(cudaEventRecord(staging.free, stream_));
  }
}

// Larger downloads, mostly those of checkpoints, go to pageable memory. Pinned buffers would be several times as fast,
// but by estimate a checkpoint of GPT-2 124M, 1.5 GB, takes half a second, by default once in ten minutes.
void CudaBackend::do_download(void* host, Tensor from) {
  bool lands = from.bytes() <= landing_bytes;
  check(cudaMemcpyAsync(lands ? landing_ : host, from.data, from.bytes(), cudaMemcpyDeviceToHost, stream_));
  wait();
  if (lands) std::memcpy(host, landing_, from.bytes());
}

void CudaBackend::do_synchronize() { wait(); }

void CudaBackend::wait() {
  check(cudaStreamSynchronize(stream_));
  if (int where = std::exchange(bad_id_[0], 0))
    fail("{}: found id {}, expected an id of the vocabulary{}",
         where == 1 ? "embedding: token" : "cross_entropy: target", bad_id_[1], where == 1 ? "" : " or -100");
}

void CudaBackend::do_copy(Tensor to, Tensor from) {
  if (to.dtype == from.dtype) {
    check(cudaMemcpyAsync(to.data, from.data, to.bytes(), cudaMemcpyDeviceToDevice, stream_));
    return;
  }
  cuda::with_width(cuda::vector_width({to.data, from.data}), [&](auto w) {
    constexpr int width = decltype(w)::value;
    unsigned grid = grid_for(cuda::ceil_div(to.numel(), width), 256);
    if (to.dtype == DType::bf16)
      launch(convert_kernel<cuda::bfloat16, float, width>, grid, 256, 0, to.as<cuda::bfloat16>(), from.as<float>(),
             to.numel());
    else
      launch(convert_kernel<float, cuda::bfloat16, width>, grid, 256, 0, to.as<float>(), from.as<cuda::bfloat16>(),
             to.numel());
  });
}

void CudaBackend::do_zero(Tensor x) { check(cudaMemsetAsync(x.data, 0, x.bytes(), stream_)); }

void* stream_of(Backend& backend) {
  auto* cuda = dynamic_cast<CudaBackend*>(&backend);
  return cuda ? cuda->stream() : nullptr;
}

std::unique_ptr<Backend> make_cuda_backend(int index, AttentionKernels attention) {
  int count = 0, driver = 0;
  cudaDriverGetVersion(&driver);
  cudaError_t error = cudaGetDeviceCount(&count);
  if (driver == 0) throw NoDevice("device: found no NVIDIA driver; use \"cpu\"");
  if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
    throw NoDevice("device: found 0 GPUs, expected at least 1; use \"cpu\"");
  if (error != cudaSuccess) fail("device: CUDA reports: {}; use \"cpu\"", cudaGetErrorString(error));
  if (index < 0) fail("device: found GPU {}, expected 0 or more", index);
  return std::make_unique<CudaBackend>(index % count, attention);  // with more ranks than GPUs, ranks share GPUs
}

}  // namespace rowan

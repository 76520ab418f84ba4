// sum() and sum_squares() distribute the elements over blocks, which compute partial sums. The distribution depends
// only on the sizes of the tensors and on whether they are 16-byte aligned. A last launch adds the partial sums in a
// fixed order, so equal inputs give equal bits. sum_partials() adds partial sums that other kernels computed. Lower
// bound on time: reading each element once at the bandwidth of a copy.
#include <algorithm>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/vector.cuh"

namespace rowan {
namespace {

using namespace cuda;

constexpr int block = 256, final_block = 1024;
constexpr int64_t elements_per_block = 32768, most_blocks = 256;

// The tensors whose squares one launch sums. A kernel parameter: the capacity keeps it below 4 KB.
struct TensorList {
  static constexpr int capacity = 64;
  const void* data[capacity];
  int64_t count[capacity];
  bool bf16[capacity], aligned[capacity];
};

template <int width, typename T>
__device__ float sum_of_squares(const T* x, int64_t count) {
  float total = 0.0f;
  for_elements<width>(count, [&](int64_t i, auto w) {
    float values[decltype(w)::value];
    load(values, x + i);
    for (float value : values) total += value * value;
  });
  return total;
}

template <typename T>
__device__ float sum_of_squares(const void* x, int64_t count, bool aligned) {
  return aligned ? sum_of_squares<vector_elements>(static_cast<const T*>(x), count)
                 : sum_of_squares<1>(static_cast<const T*>(x), count);
}

__global__ void squares_kernel(float* partial, TensorList list) {
  int t = blockIdx.y;
  float total = list.bf16[t] ? sum_of_squares<bfloat16>(list.data[t], list.count[t], list.aligned[t])
                             : sum_of_squares<float>(list.data[t], list.count[t], list.aligned[t]);
  total = block_sum(total);
  if (threadIdx.x == 0) partial[int64_t{t} * gridDim.x + blockIdx.x] = total;
}

template <int width>
__global__ void sum_kernel(float* partial, const float* x, int64_t count) {
  float total = 0.0f;
  for_elements<width>(count, [&](int64_t i, auto w) {
    float values[decltype(w)::value];
    load(values, x + i);
    for (float value : values) total += value;
  });
  total = block_sum(total);
  if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

__global__ void __launch_bounds__(final_block)
    final_sum_kernel(float* out, const float* partial, int64_t count, bool accumulate) {
  float total = 0.0f;
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) total += partial[i];
  total = block_sum(total);
  if (threadIdx.x == 0) *out = accumulate ? *out + total : total;
}

// A block sums 32 columns of partial[count, cols]. Each of its 8 warps sums every 8th row.
template <typename T>
__global__ void sum_partials_kernel(T* to, const float* partial, int64_t count, int64_t cols, bool accumulate) {
  SHARED_ARRAY(float, sums, block);
  int lane = threadIdx.x % warp_size, slice = threadIdx.x / warp_size;
  constexpr int slices = block / warp_size;
  int64_t column = int64_t{blockIdx.x} * warp_size + lane;
  float total = 0.0f;
  if (column < cols)
    for (int64_t i = slice; i < count; i += slices) total += partial[i * cols + column];
  sums[threadIdx.x] = total;
  __syncthreads();
  if (slice > 0 || column >= cols) return;
  for (int s = 1; s < slices; ++s) total += sums[s * warp_size + lane];
  to[column] = from_float<T>((accumulate ? to_float(to[column]) : 0.0f) + total);
}

unsigned final_threads(int64_t count) {
  return static_cast<unsigned>(std::clamp<int64_t>(ceil_div(count, 32) * 32, 32, final_block));
}

}  // namespace

void CudaBackend::do_sum(Tensor out, Tensor x, bool accumulate) {
  int64_t blocks = std::clamp<int64_t>(ceil_div(x.numel(), elements_per_block), 1, most_blocks);
  float* partial = workspace<float>(blocks);
  with_width(vector_width({x.data}), [&](auto w) {
    launch(sum_kernel<decltype(w)::value>, unsigned(blocks), block, 0, partial, x.as<float>(), x.numel());
  });
  launch(final_sum_kernel, 1, final_threads(blocks), 0, out.as<float>(), partial, blocks, accumulate);
}

void CudaBackend::do_sum_squares(Tensor out, const std::vector<Tensor>& xs) {
  int64_t largest = 1, tensors = static_cast<int64_t>(xs.size());
  for (const Tensor& x : xs) largest = std::max(largest, x.numel());
  int64_t blocks = std::min(ceil_div(largest, elements_per_block), most_blocks);
  float* partial = workspace<float>(std::max<int64_t>(tensors, 1) * blocks);
  for (int64_t first = 0; first < tensors; first += TensorList::capacity) {
    int64_t count = std::min<int64_t>(TensorList::capacity, tensors - first);
    TensorList list{};
    for (int64_t i = 0; i < count; ++i) {
      const Tensor& x = xs[static_cast<size_t>(first + i)];
      list.data[i] = x.data;
      list.count[i] = x.numel();
      list.bf16[i] = x.dtype == DType::bf16;
      list.aligned[i] = vector_width({x.data}) > 1;
    }
    launch(squares_kernel, dim3(unsigned(blocks), unsigned(count)), block, 0, partial + first * blocks, list);
  }
  launch(final_sum_kernel, 1, final_threads(tensors * blocks), 0, out.as<float>(), partial, tensors * blocks, false);
}

void CudaBackend::sum_partials(Tensor to, const float* partial, int64_t count, bool accumulate) {
  with_dtype(to.dtype, [&](auto type) {
    using T = decltype(type);
    launch(sum_partials_kernel<T>, unsigned(ceil_div(to.numel(), warp_size)), block, 0, to.as<T>(), partial, count,
           to.numel(), accumulate);
  });
}

}  // namespace rowan

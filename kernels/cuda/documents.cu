// Finds where documents begin and end in packed rows, and applies dropout.
// Bytes moved: 20 per token to find documents, 4 per bf16 value for dropout. Lower bound on time: this traffic at the
// bandwidth of a copy.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/vector.cuh"
#include "kernels/dropout.h"

namespace rowan {
namespace {

using namespace cuda;

constexpr int block = 256;

// Inclusive scan over a block of one warp. If `before`, returns the maximum of x over this lane and all lower lanes.
// Otherwise returns the minimum of x over this lane and all higher lanes.
template <bool before>
__device__ __forceinline__ int scan(int x) {
  int lane = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int step = 1; step < warp_size; step *= 2) {
    int from = before ? lane - step : lane + step;
    int other = __shfl_sync(all_lanes, x, from & (warp_size - 1));
    if (from >= 0 && from < warp_size) x = before ? max(x, other) : min(x, other);
  }
  return x;
}

// One warp processes one row, 32 tokens at a time: from left to right for the beginnings of documents, and from right
// to left for their ends.
__global__ void find_documents_kernel(int* documents, const int* tokens, DocumentRule rule, int64_t count, int seq) {
  const int* ids = tokens + int64_t{blockIdx.x} * seq;
  int *begins = documents + int64_t{blockIdx.x} * seq, *ends = begins + count, *positions = ends + count;
  int lane = static_cast<int>(threadIdx.x), begin = 0, end = seq;
  auto opens = [&](int t) { return t == 0 || (t < seq && ids[rule.opens ? t : t - 1] == rule.end_token); };
  for (int first = 0; first < seq; first += warp_size) {
    int t = first + lane, own = scan<true>(opens(t) ? t : begin);
    if (t < seq) {
      begins[t] = own;
      positions[t] = t - own;
    }
    begin = __shfl_sync(all_lanes, own, warp_size - 1);
  }
  for (int first = (seq - 1) / warp_size * warp_size; first >= 0; first -= warp_size) {
    int t = first + lane, here = scan<false>(opens(t) ? t : end);  // first position >= t where a document begins
    int next = __shfl_sync(all_lanes, here, (lane + 1) % warp_size);
    if (t < seq) ends[t] = lane + 1 < warp_size ? next : end;
    end = __shfl_sync(all_lanes, here, 0);
  }
}

template <typename T>
__global__ void dropout_kernel(T* x, DropoutMask mask, int64_t rows, int64_t sample) {
  int64_t groups = (sample + 3) / 4;
  for (int64_t i = thread_index(); i < rows * groups; i += thread_count()) {
    int64_t row = i / groups, group = i % groups;
    float factors[4];
    mask.four(factors, mask.stream(row), group);
    T* values = x + row * sample + group * 4;
#pragma unroll
    for (int e = 0; e < 4; ++e)
      if (group * 4 + e < sample) values[e] = from_float<T>(to_float(values[e]) * factors[e]);
  }
}

}  // namespace

void CudaBackend::do_find_documents(Tensor documents, Tensor tokens, const DocumentRule& rule, int64_t seq) {
  if (tokens.numel() == 0) return;
  launch(find_documents_kernel, unsigned(tokens.numel() / seq), warp_size, 0, documents.as<int>(), tokens.as<int>(),
         rule, tokens.numel(), int(seq));
}

void CudaBackend::do_dropout(Tensor x, const Dropout& rule, int64_t seq) {
  DropoutMask mask(rule);
  if (!mask.on() || x.numel() == 0) return;
  int64_t rows = x.dim(0) / seq, sample = seq * x.dim(1);
  with_dtype(x.dtype, [&](auto type) {
    using T = decltype(type);
    launch(dropout_kernel<T>, grid_for(rows * ceil_div(sample, 4), block), block, 0, x.as<T>(), mask, rows, sample);
  });
}

}  // namespace rowan

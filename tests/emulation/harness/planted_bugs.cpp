// This program has one kernel for each class of bug. Each kernel runs correctly or with its bug. The emulation or a
// sanitizer must detect the bug, and must not report the correct kernel. tests/emulation/CMakeLists.txt lists the bugs
// that each build must detect.
// Usage: planted_bugs NAME [planted]. With `planted`, the kernel runs with its bug.
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/cuda/device.cuh"

namespace {

using namespace rowan::cuda;

// out[block] = the sum of the block's 128 inputs. The kernel sums within each warp by shuffles, then over
// the warps through shared memory.
__global__ void block_sums(float* out, const float* in, bool missing_barrier) {
  SHARED_ARRAY(float, partial, 4);
  float value = in[blockIdx.x * blockDim.x + threadIdx.x];
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(all_lanes, value, step);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  if (!missing_barrier) __syncthreads();
  if (threadIdx.x == 0) out[blockIdx.x] = partial[0] + partial[1] + partial[2] + partial[3];
}

// Every block writes one word. With the bug, all blocks write the same word.
__global__ void write_per_block(float* out, const float* in, bool race) {
  if (threadIdx.x == 0) out[race ? 0 : blockIdx.x] = in[blockIdx.x];
}

__global__ void vector_load(float* out, const float* in, bool misaligned) {
  float4 value = *reinterpret_cast<const float4*>(in + 4 * threadIdx.x + (misaligned ? 1 : 0));
  out[threadIdx.x] = value.x + value.y + value.z + value.w;
}

__global__ void shared_overrun(float* out, const float* in, bool overrun) {
  DYN_SHARED(float, row);
  row[threadIdx.x + (overrun ? 1 : 0)] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = row[threadIdx.x ^ 1];
}

__global__ void divergent_barrier(float* out, const float* in, bool divergent) {
  if (!divergent || threadIdx.x < 64) __syncthreads();
  out[threadIdx.x] = in[threadIdx.x];
}

__global__ void divergent_shuffle(float* out, const float* in, bool divergent) {
  float value = in[threadIdx.x];
  if (!divergent || threadIdx.x % 32 < 16) value += __shfl_xor_sync(all_lanes, value, 1);
  out[threadIdx.x] = value;
}

// Each thread copies two groups of 16 bytes. With the bug, the second group is read before it has arrived.
__global__ void early_wait(float* out, const float* in, bool early) {
  SHARED_ARRAY(float4, tile, 256);
  for (int half = 0; half < 2; ++half) {
    copy_async_16(&tile[half * 128 + threadIdx.x], in + 4 * threadIdx.x, true);
    copy_async_commit();
  }
  if (early)
    copy_async_wait<1>();
  else
    copy_async_wait<0>();
  __syncthreads();
  out[threadIdx.x] = tile[255 - threadIdx.x].x;
  copy_async_wait<0>();
}

// With the bug, a warp may store its values of the second round before another warp has read the values of the first
// round.
__global__ void reuse_without_barrier(float* out, const float* in, bool reuse) {
  SHARED_ARRAY(float, tile, 128);
  float sum = 0.0f;
  for (int round = 0; round < 2; ++round) {
    tile[threadIdx.x] = in[threadIdx.x] + static_cast<float>(round);
    __syncthreads();
    sum += tile[127 - threadIdx.x];
    if (!reuse) __syncthreads();
  }
  out[threadIdx.x] = sum;
}

struct Bug {
  const char* name;
  void (*kernel)(float*, const float*, bool);
};
constexpr Bug bugs[] = {{"missing_barrier", block_sums},
                        {"block_race", write_per_block},
                        {"misaligned_load", vector_load},
                        {"shared_overrun", shared_overrun},
                        {"divergent_barrier", divergent_barrier},
                        {"divergent_shuffle", divergent_shuffle},
                        {"early_wait", early_wait},
                        {"reuse_without_barrier", reuse_without_barrier}};

// Returns false if a result is NaN. The inputs are finite, so a NaN comes from memory that was not yet written.
bool runs_clean(const Bug& bug, bool planted) {
  constexpr int blocks = 4, threads = 128, count = blocks * threads;
  std::vector<float> host(count + 8);
  for (size_t i = 0; i < host.size(); ++i) host[i] = static_cast<float>(i);
  void *in, *out;
  cudaMalloc(&in, host.size() * sizeof(float));
  cudaMalloc(&out, count * sizeof(float));
  cudaMemsetAsync(out, 0, count * sizeof(float), nullptr);
  cudaMemcpyAsync(in, host.data(), host.size() * sizeof(float), cudaMemcpyHostToDevice, nullptr);
  int grid = bug.kernel == block_sums || bug.kernel == write_per_block ? blocks : 1;
  launch(bug.name, bug.kernel, grid, threads, threads * sizeof(float), nullptr, static_cast<float*>(out),
         static_cast<const float*>(in), planted);
  cudaMemcpyAsync(host.data(), out, count * sizeof(float), cudaMemcpyDeviceToHost, nullptr);
  cudaFree(in);
  cudaFree(out);
  for (int i = 0; i < count; ++i)
    if (host[static_cast<size_t>(i)] != host[static_cast<size_t>(i)]) return false;
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  for (const Bug& bug : bugs) {
    if (argc < 2 || std::strcmp(argv[1], bug.name)) continue;
    try {
      bool clean = runs_clean(bug, argc > 2);
      std::puts(clean ? "clean" : "noticed: NaN in the result");
      return clean ? 0 : 3;
    } catch (const std::runtime_error& e) {
      std::printf("noticed: %s\n", e.what());
      return 3;
    }
  }
  std::puts("usage: planted_bugs NAME [planted]");
  return 2;
}

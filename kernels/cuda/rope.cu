// Rotary position embeddings (RoPE) on the packed projections, in place. Forward and backward each move 4 bytes per
// bf16 value of queries and keys. Lower bound on time: this traffic at the bandwidth of a copy.
// In the backward, the kernels of attention_backward.cu undo RoPE themselves where they can. Then this kernel runs only
// in the forward. Attention does not rotate q and k while it loads them: a tile of keys is loaded by seq / 128 blocks
// of queries on average, and again by the backward, and by estimate rotating it each time would cost 10 to 15% more
// instructions in these loops. It would save this pass, 2.6 of 190 ms of a step of LLaMA-130M. Neither was measured.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/vector.cuh"

namespace rowan {
namespace {

using namespace cuda;

constexpr int block = 256;

template <typename T, int width>
__global__ void rope_kernel(T* qkv, const float* table, int64_t tokens, int64_t seq, int64_t row, int heads, int half,
                            float direction) {
  int vectors = half / width;
  for (int64_t i = thread_index(); i < tokens * heads * vectors; i += thread_count()) {
    int64_t n = i / (heads * vectors);
    int rest = static_cast<int>(i % (heads * vectors)), at = rest % vectors * width;
    T* first = qkv + n * row + int64_t{rest / vectors} * 2 * half + at;
    const float* angles = table + n % seq * 2 * half + at;
    float a[width], b[width], cosine[width], sine[width];
    load(a, first);
    load(b, first + half);
    load(cosine, angles);
    load(sine, angles + half);
#pragma unroll
    for (int j = 0; j < width; ++j) {
      float s = direction * sine[j], x = a[j], y = b[j];
      a[j] = x * cosine[j] - y * s;
      b[j] = y * cosine[j] + x * s;
    }
    store(first, a);
    store(first + half, b);
  }
}

}  // namespace

void CudaBackend::do_rope(Tensor qkv, Tensor table, const AttentionShape& shape, bool inverse) {
  int heads = static_cast<int>(shape.heads + shape.kv_heads), half = static_cast<int>(shape.head_dim / 2);
  with_dtype(qkv.dtype, [&](auto type) {
    using T = decltype(type);
    with_width(vector_width({qkv.data, table.data}, half), [&](auto w) {
      constexpr int width = decltype(w)::value;
      launch(rope_kernel<T, width>, grid_for(shape.tokens() * heads * (half / width), block), block, 0, qkv.as<T>(),
             table.as<float>(), shape.tokens(), shape.seq, shape.qkv_width(), heads, half, inverse ? -1.0f : 1.0f);
    });
  });
}

}  // namespace rowan

// Rotary positions (RoPE) on the packed projections, in place. Each value of queries and keys is read and written once.
// Lower bound on the time: this traffic at the rate of a copy.
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vector.h"

namespace rowan {

void CpuBackend::do_rope(Tensor qkv, Tensor table, const AttentionShape& shape, bool inverse) {
  int64_t half = shape.head_dim / 2, width = shape.qkv_width(), rotated = shape.heads + shape.kv_heads;
  float direction = inverse ? -1.0f : 1.0f;
  cpu::with_dtype(qkv.dtype, [&](auto type) {
    using T = decltype(type);
    cpu::parallel_ranges(threads_, shape.tokens(), cpu::rows_per_piece(width), [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        const float *cosine = table.as<float>() + n % shape.seq * shape.head_dim, *sine = cosine + half;
        for (int64_t h = 0; h < rotated; ++h) {
          T *first = qkv.as<T>() + n * width + h * shape.head_dim, *second = first + half;
#pragma omp simd
          for (int64_t i = 0; i < half; ++i) {
            float a = cpu::load(first[i]), b = cpu::load(second[i]), c = cosine[i], s = direction * sine[i];
            cpu::store(first[i], a * c - b * s);
            cpu::store(second[i], b * c + a * s);
          }
        }
      }
    });
  });
}

}  // namespace rowan

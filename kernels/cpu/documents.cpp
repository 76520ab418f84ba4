// Finds where documents begin and end in packed rows, and applies dropout. Finding documents moves 16 bytes per token.
// Dropout reads and writes each value. Lower bound on the time: this traffic at the rate of a copy.
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vector.h"
#include "kernels/dropout.h"

namespace rowan {

void CpuBackend::do_find_documents(Tensor documents, Tensor tokens, const DocumentRule& rule, int64_t seq) {
  const int64_t n = tokens.numel();
  cpu::parallel_for(threads_, n / seq, [&](int64_t row) {
    const int32_t* ids = tokens.as<int32_t>() + row * seq;
    int32_t *begins = documents.as<int32_t>() + row * seq, *ends = begins + n, *positions = ends + n;
    int64_t begin = 0;
    for (int64_t t = 1; t <= seq; ++t) {
      if (t < seq && ids[rule.opens ? t : t - 1] != rule.end_token) continue;
      for (int64_t i = begin; i < t; ++i) {
        begins[i] = static_cast<int32_t>(begin);
        ends[i] = static_cast<int32_t>(t);
        positions[i] = static_cast<int32_t>(i - begin);
      }
      begin = t;
    }
  });
}

void CpuBackend::do_dropout(Tensor x, const Dropout& rule, int64_t seq) {
  const DropoutMask mask(rule);
  if (!mask.on()) return;
  const int64_t sample = seq * x.dim(1), groups = (sample + 3) / 4;
  cpu::with_dtype(x.dtype, [&](auto type) {
    using T = decltype(type);
    cpu::parallel_ranges(threads_, x.dim(0) / seq * groups, 4096, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t row = i / groups, first = i % groups * 4, last = std::min(first + 4, sample);
        T* values = x.as<T>() + row * sample;
        float factors[4];
        mask.four(factors, mask.stream(row), first / 4);
        for (int64_t e = first; e < last; ++e) cpu::store(values[e], cpu::load(values[e]) * factors[e - first]);
      }
    });
  });
}

}  // namespace rowan

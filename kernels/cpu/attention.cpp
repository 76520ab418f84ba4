// Causal attention in tiles of 64 queries by 64 keys with a streaming softmax (Dao et al., "FlashAttention: fast and
// memory-efficient exact attention with IO-awareness", 2022; the backward as in section B.4). One thread takes a head
// (backward: a key/value head and the query heads that read it), converts it to fp32 once and works in its cache.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/tile.h"
#include "kernels/cpu/vector.h"

namespace rowan {
namespace {

using cpu::lanes;
using cpu::round_up;

constexpr int64_t block = 64;

// Sizes of one head's fp32 copies: rows padded to whole vectors, sequences to whole blocks.
struct Sizes {
  int64_t seq, dim, blocks, width;

  explicit Sizes(const AttentionShape& s)
      : seq(s.seq), dim(s.head_dim), blocks((s.seq + block - 1) / block), width(round_up(s.head_dim, lanes)) {}
  int64_t rows(int64_t i) const { return std::min(block, seq - i * block); }
  int64_t row_major() const { return blocks * block * width; }
  int64_t transposed() const { return blocks * block * dim; }
};

// to[seq][width] = factor * the head at `from`, whose tokens are `stride` apart.
template <typename T>
void gather(float* to, const T* from, int64_t stride, const Sizes& size, float factor) {
  for (int64_t t = 0; t < size.seq; ++t) {
    float* row = to + t * size.width;
    const T* values = from + t * stride;
#pragma omp simd
    for (int64_t d = 0; d < size.dim; ++d) row[d] = factor * cpu::load(values[d]);
    for (int64_t d = size.dim; d < size.width; ++d) row[d] = 0;
  }
}

// to[blocks][dim][block]: the head transposed block by block; keys beyond the sequence are zero.
template <typename T>
void gather_transposed(float* to, const T* from, int64_t stride, const Sizes& size) {
  for (int64_t i = 0; i < size.blocks; ++i) {
    float* tile = to + i * size.dim * block;
    int64_t rows = size.rows(i);
    for (int64_t d = 0; d < size.dim; ++d) {
      for (int64_t t = 0; t < rows; ++t) tile[d * block + t] = cpu::load(from[(i * block + t) * stride + d]);
      for (int64_t t = rows; t < block; ++t) tile[d * block + t] = 0;
    }
  }
}

template <typename T>
void scatter(T* to, const float* from, int64_t stride, const Sizes& size, float factor) {
  for (int64_t t = 0; t < size.seq; ++t) {
    T* values = to + t * stride;
    const float* row = from + t * size.width;
#pragma omp simd
    for (int64_t d = 0; d < size.dim; ++d) cpu::store(values[d], factor * row[d]);
  }
}

// Running softmax of one block of queries.
struct Softmax {
  float top[block], total[block];
};

// Turns the scores of one row into weights e^(score - top); returns what earlier sums must be multiplied by.
float absorb_row(float* scores, float& top, float& total) {
  float highest = top;
#pragma omp simd reduction(max : highest)
  for (int64_t j = 0; j < block; ++j) highest = scores[j] > highest ? scores[j] : highest;
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < block; ++j) {
    scores[j] = cpu::exp(scores[j] - highest);
    sum += scores[j];
  }
  float fade = cpu::exp(top - highest);
  top = highest;
  total = total * fade + sum;
  return fade;
}

void mask_future(float* row, int64_t query, float value) {
  for (int64_t j = query + 1; j < block; ++j) row[j] = value;
}

// Floats of scratch a thread needs for forward_head: keys transposed, values, one block of q, out and scores.
int64_t forward_floats(const Sizes& size) {
  return round_up(size.transposed(), lanes) + size.row_major() + 2 * block * size.width + block * block;
}

template <typename T>
void forward_head(T* out, float* log_sum_exp, const T* q, const T* k, const T* v, const AttentionShape& shape,
                  float* scratch) {
  Sizes size(shape);
  int64_t stride = shape.qkv_width();
  float* keys = scratch;
  float* values = keys + round_up(size.transposed(), lanes);
  float* query = values + size.row_major();
  float* sums = query + block * size.width;
  float* scores = sums + block * size.width;
  gather_transposed(keys, k, stride, size);
  gather(values, v, stride, size, 1.0f);
  for (int64_t i = 0; i < size.blocks; ++i) {
    int64_t rows = size.rows(i);
    Softmax softmax;
    for (int64_t r = 0; r < rows; ++r) {
      const T* from = q + (i * block + r) * stride;
      for (int64_t d = 0; d < size.dim; ++d) query[r * size.width + d] = shape.scale * cpu::load(from[d]);
      softmax.top[r] = -HUGE_VALF;
      softmax.total[r] = 0;
    }
    std::fill(sums, sums + block * size.width, 0.0f);
    for (int64_t j = 0; j <= i; ++j) {
      cpu::tile_product<false>(scores, block, query, size.width, keys + j * size.dim * block, block, rows, block,
                               size.dim, false);
      for (int64_t r = 0; r < rows; ++r) {
        float* row = scores + r * block;
        if (j == i) mask_future(row, r, -HUGE_VALF);
        float fade = absorb_row(row, softmax.top[r], softmax.total[r]);
#pragma omp simd
        for (int64_t d = 0; d < size.width; ++d) sums[r * size.width + d] *= fade;
      }
      cpu::tile_product<false>(sums, size.width, scores, block, values + j * block * size.width, size.width, rows,
                               size.width, size.rows(j), true);
    }
    for (int64_t r = 0; r < rows; ++r) {
      int64_t t = i * block + r;
      float inverse = 1.0f / softmax.total[r];
      T* to = out + t * shape.out_width();
      for (int64_t d = 0; d < size.dim; ++d) cpu::store(to[d], sums[r * size.width + d] * inverse);
      log_sum_exp[t] = softmax.top[r] + std::log(softmax.total[r]);
    }
  }
}

// One thread's memory for the backward of a key/value head.
struct BackwardScratch {
  float *k, *k_transposed, *v_transposed, *dk, *dv, *q, *dout, *dq, *delta, *scores, *d_scores;

  static int64_t floats(const Sizes& size) {
    return 6 * size.row_major() + 2 * round_up(size.transposed(), lanes) + size.blocks * block + 2 * block * block;
  }
  BackwardScratch(float* memory, const Sizes& size) {
    auto take = [&](int64_t count) {
      float* result = memory;
      memory += count;
      return result;
    };
    for (float** p : {&k, &dk, &dv, &q, &dout, &dq}) *p = take(size.row_major());
    for (float** p : {&k_transposed, &v_transposed}) *p = take(round_up(size.transposed(), lanes));
    delta = take(size.blocks * block);
    for (float** p : {&scores, &d_scores}) *p = take(block * block);
  }
};

// scores = softmax weights P of queries i on keys j, d_scores = P * (dP - delta).
void backward_scores(const BackwardScratch& s, const Sizes& size, const float* log_sum_exp, int64_t i, int64_t j) {
  int64_t rows = size.rows(i), first = i * block;
  cpu::tile_product<false>(s.scores, block, s.q + first * size.width, size.width, s.k_transposed + j * size.dim * block,
                           block, rows, block, size.dim, false);
  cpu::tile_product<false>(s.d_scores, block, s.dout + first * size.width, size.width,
                           s.v_transposed + j * size.dim * block, block, rows, block, size.dim, false);
  for (int64_t r = 0; r < rows; ++r) {
    float *p = s.scores + r * block, *d = s.d_scores + r * block;
    float shift = log_sum_exp[first + r], delta = s.delta[first + r];
    if (i == j) mask_future(p, r, -HUGE_VALF);
#pragma omp simd
    for (int64_t c = 0; c < block; ++c) {
      p[c] = cpu::exp(p[c] - shift);
      d[c] = p[c] * (d[c] - delta);
    }
  }
}

// Adds one query head to s.dk and s.dv and leaves its gradient, still without `scale`, in s.dq.
void backward_head(const BackwardScratch& s, const Sizes& size, const float* log_sum_exp) {
  std::fill(s.dq, s.dq + size.row_major(), 0.0f);
  int64_t w = size.width;
  for (int64_t j = 0; j < size.blocks; ++j)
    for (int64_t i = j; i < size.blocks; ++i) {
      backward_scores(s, size, log_sum_exp, i, j);
      int64_t queries = size.rows(i), keys = size.rows(j), qi = i * block * w, kj = j * block * w;
      cpu::tile_product<true>(s.dv + kj, w, s.scores, block, s.dout + qi, w, keys, w, queries, true);
      cpu::tile_product<true>(s.dk + kj, w, s.d_scores, block, s.q + qi, w, keys, w, queries, true);
      cpu::tile_product<false>(s.dq + qi, w, s.d_scores, block, s.k + kj, w, queries, w, keys, true);
    }
}

}  // namespace

void CpuBackend::do_attention_forward(Tensor out, Tensor log_sum_exp, Tensor qkv, const AttentionShape& shape) {
  int64_t floats = round_up(forward_floats(Sizes(shape)), lanes);
  float* memory = scratch_.take(floats * threads_);
  cpu::with_dtype(qkv.dtype, [&](auto type) {
    using T = decltype(type);
    cpu::parallel_units(threads_, shape.batch * shape.heads, [&](int64_t unit, int thread) {
      int64_t b = unit / shape.heads, h = unit % shape.heads, kv = h / (shape.heads / shape.kv_heads);
      const T* row = qkv.as<T>() + b * shape.seq * shape.qkv_width();
      const T* k = row + (shape.heads + kv) * shape.head_dim;
      forward_head(out.as<T>() + b * shape.seq * shape.out_width() + h * shape.head_dim,
                   log_sum_exp.as<float>() + unit * shape.seq, row + h * shape.head_dim, k,
                   k + shape.kv_heads * shape.head_dim, shape, memory + thread * floats);
    });
  });
}

void CpuBackend::do_attention_backward(Tensor dqkv, Tensor dout, Tensor out, Tensor log_sum_exp, Tensor qkv,
                                       const AttentionShape& shape) {
  Sizes size(shape);
  int64_t floats = round_up(BackwardScratch::floats(size), lanes), group = shape.heads / shape.kv_heads;
  int64_t stride = shape.qkv_width(), out_stride = shape.out_width();
  float* memory = scratch_.take(floats * threads_);
  cpu::with_dtype(qkv.dtype, [&](auto type) {
    using T = decltype(type);
    cpu::parallel_units(threads_, shape.batch * shape.kv_heads, [&](int64_t unit, int thread) {
      BackwardScratch s(memory + thread * floats, size);
      int64_t b = unit / shape.kv_heads, kv = unit % shape.kv_heads, first = b * shape.seq * stride;
      int64_t k = first + (shape.heads + kv) * shape.head_dim, v = k + shape.kv_heads * shape.head_dim;
      gather(s.k, qkv.as<T>() + k, stride, size, 1.0f);
      gather_transposed(s.k_transposed, qkv.as<T>() + k, stride, size);
      gather_transposed(s.v_transposed, qkv.as<T>() + v, stride, size);
      std::fill(s.dk, s.dk + size.row_major(), 0.0f);
      std::fill(s.dv, s.dv + size.row_major(), 0.0f);
      for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
        int64_t q = first + h * shape.head_dim, o = b * shape.seq * out_stride + h * shape.head_dim;
        gather(s.q, qkv.as<T>() + q, stride, size, shape.scale);
        gather(s.dout, dout.as<T>() + o, out_stride, size, 1.0f);
        for (int64_t t = 0; t < shape.seq; ++t) {
          const T* row = out.as<T>() + o + t * out_stride;
          float delta = 0;
          for (int64_t d = 0; d < size.dim; ++d) delta += s.dout[t * size.width + d] * cpu::load(row[d]);
          s.delta[t] = delta;
        }
        backward_head(s, size, log_sum_exp.as<float>() + (b * shape.heads + h) * shape.seq);
        scatter(dqkv.as<T>() + q, s.dq, stride, size, shape.scale);
      }
      scatter(dqkv.as<T>() + k, s.dk, stride, size, 1.0f);
      scatter(dqkv.as<T>() + v, s.dv, stride, size, 1.0f);
    });
  });
}

}  // namespace rowan

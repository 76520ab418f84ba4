// Causal attention in tiles of 64 queries by 64 keys with an online softmax (Dao et al., "FlashAttention: fast and
// memory-efficient exact attention with IO-awareness", 2022; the backward follows section B.4). In the forward, a
// thread takes one query head of one document at a time. In the backward, a thread takes one key/value head of one
// document and all query heads that share this head. Threads work on fp32 copies of queries, keys and values.
// FLOPs per score: 4 * head_dim in the forward; 10 * head_dim in the backward, which computes the scores again. Lower
// bound on the time: these FLOPs at the rate of tile products (`rowan bench gemm`).
// What was tried:
// 1. A vectorized softmax in the forward. In a step of the quickstart with AVX-512, it reduced the time of attention's
// forward from 24.9 to 7.9 ms.
// 2. Strips of 16 queries in tiles on the diagonal. Each strip uses only the keys up to its last query, so fewer masked
// scores are computed. The gain was not measured separately.
// 3. Transposing keys and values four by four in registers, and computing a row's maximum four lanes at a time.
// With AVX-512 and heads 32 wide: forward 1.08 times as fast, backward 1.04 times.
// 4. Prefetching the tokens of a head, which are a row of qkv apart. On Zen 4 with operands that are not in cache, the
// forward became 1.06 times as fast with AVX2; with AVX-512, the change was within the noise (BENCHMARKS.md).
// 5. In the forward, heads 32 wide: maxima of four rows at once, sums kept in lanes, and keys and values shared by the
// query heads of a group. On Zen 4, 1.07 times as fast with AVX2 and 1.03 times with AVX-512. Reading keys and values
// block by block, with prefetches between the tiles, changed nothing.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/tile.h"
#include "kernels/cpu/transpose.h"
#include "kernels/cpu/vector.h"
#include "kernels/dropout.h"

namespace rowan {
namespace {

using cpu::lanes;
using cpu::round_up;

constexpr int64_t block = 64, strip = 16;
constexpr int64_t ahead = 8;  // tokens between a prefetch and its load
static_assert(block % strip == 0 && strip % lanes == 0);

// Tokens that may attend to each other: one document, or a whole row if no documents are given.
struct Document {
  int64_t batch, begin, count;
};

std::vector<Document> documents_of(const AttentionShape& s, const Tensor& table) {
  std::vector<Document> documents;
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t begin = 0, end; begin < s.seq; begin = end) {
      end = table.empty() ? s.seq : table.as<int32_t>()[s.tokens() + b * s.seq + begin];
      documents.push_back({b, begin, end - begin});
    }
  return documents;
}

// The shape of the longest document, which determines the size of scratch memory.
AttentionShape longest(const std::vector<Document>& documents, AttentionShape shape) {
  shape.seq = 0;
  for (const Document& document : documents) shape.seq = std::max(shape.seq, document.count);
  return shape;
}

// Dropout of the softmax weights of one query head. Queries and keys are numbered from the start of their document.
struct HeadDropout {
  DropoutMask mask;
  uint64_t stream;
  int64_t begin, head, seq;

  // Multiplies row[j] by the dropout factor of `query` and key first + j.
  void apply(float* row, int64_t query, int64_t first, int64_t count) const {
    for (int64_t j = 0; j < count;) {
      const int64_t key = begin + first + j;
      float factors[4];
      mask.four(factors, stream, DropoutMask::attention_group(head, begin + query, key, seq));
      for (int64_t i = key % 4; i < 4 && j < count; ++i, ++j) row[j] *= factors[i];
    }
  }
};

// Sizes of the fp32 copies of one head. Rows are padded to whole vectors, sequences to whole blocks.
struct Sizes {
  int64_t seq, dim, blocks, width;

  explicit Sizes(const AttentionShape& s)
      : seq(s.seq), dim(s.head_dim), blocks((s.seq + block - 1) / block), width(round_up(s.head_dim, lanes)) {}
  int64_t rows(int64_t i) const { return std::min(block, seq - i * block); }
  int64_t row_major() const { return blocks * block * width; }
  int64_t transposed() const { return blocks * block * dim; }
};

// to[seq][width] = factor * head, where the head begins at `from` and its tokens are `stride` elements apart.
template <typename T>
void gather(float* to, const T* from, int64_t stride, const Sizes& size, float factor) {
  for (int64_t t = 0; t < size.seq; ++t) {
    float* row = to + t * size.width;
    const T* values = from + t * stride;
    cpu::prefetch(values + ahead * stride, size.dim * sizeof(T));
#pragma omp simd
    for (int64_t d = 0; d < size.dim; ++d) row[d] = factor * cpu::load(values[d]);
    for (int64_t d = size.dim; d < size.width; ++d) row[d] = 0;
  }
}

// to[blocks][dim][block] = the head, transposed block by block. Tokens beyond the sequence are zero.
template <typename T>
void gather_transposed(float* to, const T* from, int64_t stride, const Sizes& size) {
  for (int64_t i = 0; i < size.blocks; ++i) {
    float* tile = to + i * size.dim * block;
    int64_t rows = size.rows(i);
    // Four tokens at a time, because tokens that are a power of two apart evict each other from the cache.
    for (int64_t t = 0; t < rows; t += 4) {
      const T* tokens = from + (i * block + t) * stride;
      for (int64_t r = 0; r < 4; ++r) cpu::prefetch(tokens + (ahead + r) * stride, size.dim * sizeof(T));
      cpu::transpose(tile + t, block, tokens, stride, std::min<int64_t>(4, rows - t), size.dim);
    }
    for (int64_t d = 0; d < size.dim; ++d)
      for (int64_t t = rows; t < block; ++t) tile[d * block + t] = 0;
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

// Calls fn(first, count, seen) for each strip [first, first + count) of a block of `rows` tokens. If the tokens are
// queries, the strip attends to the first `seen` keys of the block of keys. Off the diagonal, the whole block is one
// strip.
template <typename F>
void for_strips(bool diagonal, int64_t rows, F&& fn) {
  const int64_t step = diagonal ? strip : block;
  for (int64_t first = 0; first < rows; first += step)
    fn(first, std::min(step, rows - first), diagonal ? first + step : block);
}

void mask_future(float* row, int64_t query, int64_t seen) {
  for (int64_t j = query + 1; j < seen; ++j) row[j] = -HUGE_VALF;
}

// Online softmax of one block of queries. For each query, `top` is the largest score so far, and the sum of
// e^(score - top) is the sum of the query's lanes of `parts`.
struct Softmax {
  alignas(64) float top[block], fade[block], parts[block * lanes];

  void clear() {
    std::fill(top, top + block, -HUGE_VALF);
    std::fill(parts, parts + block * lanes, 0.0f);
  }
  float total(int64_t r) const { return std::accumulate(parts + r * lanes, parts + (r + 1) * lanes, 0.0f); }

  // Replaces the scores of rows [first, first + count) by weights e^(score - top). `fade` receives the factor by which
  // sums over earlier keys must be multiplied. Not inlined, because GCC 12 does not vectorize these loops inside
  // forward_head.
  [[gnu::noinline]] void absorb(float* scores, int64_t first, int64_t count, int64_t seen) {
    alignas(64) float highest[block];
    for (int64_t r = 0; r < count; r += 4) {  // rows after the last one are computed, but not used
      cpu::Vector most[4];
      for (int64_t i = 0; i < 4; ++i) {
        const float* row = scores + (first + r + i) * block;
        most[i] = *reinterpret_cast<const cpu::Vector*>(row);
        for (int64_t j = lanes; j < seen; j += lanes) {
          const cpu::Vector next = *reinterpret_cast<const cpu::Vector*>(row + j);
          most[i] = next > most[i] ? next : most[i];
        }
      }
      cpu::largest_lanes(highest + r, most);
    }
#pragma omp simd
    for (int64_t r = 0; r < count; ++r) {
      highest[r] = std::max(top[first + r], highest[r]);
      fade[first + r] = cpu::exp_nonpositive(top[first + r] - highest[r]);
      top[first + r] = highest[r];
    }
    for (int64_t r = 0; r < count; ++r) {
      float *row = scores + (first + r) * block, *sums = parts + (first + r) * lanes;
#pragma omp simd
      for (int64_t l = 0; l < lanes; ++l) sums[l] *= fade[first + r];
      for (int64_t j = 0; j < seen; j += lanes)
#pragma omp simd
        for (int64_t l = 0; l < lanes; ++l) {
          row[j + l] = cpu::exp_nonpositive(row[j + l] - highest[r]);
          sums[l] += row[j + l];
        }
    }
  }
};

// A thread's scratch memory for the forward: keys (transposed) and values of one key/value head, and one block each of
// queries, sums and scores.
struct ForwardScratch {
  float *keys, *values, *query, *sums, *scores;

  static int64_t floats(const Sizes& size) {
    return round_up(size.transposed(), lanes) + size.row_major() + 2 * block * size.width + block * block;
  }
  ForwardScratch(float* memory, const Sizes& size)
      : keys(memory),
        values(keys + round_up(size.transposed(), lanes)),
        query(values + size.row_major()),
        sums(query + block * size.width),
        scores(sums + block * size.width) {}
};

// Computes one query head. `s` holds the keys and values of its key/value head.
template <typename T>
void forward_head(T* out, float* log_sum_exp, const T* q, const ForwardScratch& s, const AttentionShape& shape,
                  const HeadDropout& dropout) {
  const Sizes size(shape);
  const int64_t stride = shape.qkv_width();
  float *const keys = s.keys, *const values = s.values, *const query = s.query, *const sums = s.sums,
               *const scores = s.scores;
  for (int64_t i = 0; i < size.blocks; ++i) {
    int64_t rows = size.rows(i);
    Softmax softmax;
    softmax.clear();
    for (int64_t r = 0; r < rows; ++r) {
      const T* from = q + (i * block + r) * stride;
      cpu::prefetch(from + ahead * stride, size.dim * sizeof(T));
      for (int64_t d = 0; d < size.dim; ++d) query[r * size.width + d] = shape.scale * cpu::load(from[d]);
    }
    std::fill(sums, sums + block * size.width, 0.0f);
    for (int64_t j = 0; j <= i; ++j)
      for_strips(j == i, rows, [&](int64_t first, int64_t count, int64_t seen) {
        float *part = scores + first * block, *to = sums + first * size.width;
        cpu::tile_product<false>(part, block, query + first * size.width, size.width, keys + j * size.dim * block,
                                 block, count, seen, size.dim, false);
        if (j == i)
          for (int64_t r = 0; r < count; ++r) mask_future(part + r * block, first + r, seen);
        softmax.absorb(scores, first, count, seen);
        for (int64_t r = 0; r < count; ++r) {
          const float fade = softmax.fade[first + r];
#pragma omp simd
          for (int64_t d = 0; d < size.width; ++d) to[r * size.width + d] *= fade;
          if (dropout.mask.on())
            dropout.apply(part + r * block, i * block + first + r, j * block, std::min(seen, size.rows(j)));
        }
        cpu::tile_product<false>(to, size.width, part, block, values + j * block * size.width, size.width, count,
                                 size.width, std::min(seen, size.rows(j)), true);
      });
    for (int64_t r = 0; r < rows; ++r) {
      int64_t t = i * block + r;
      const float total = softmax.total(r), inverse = 1.0f / total;
      T* to = out + t * shape.out_width();
      for (int64_t d = 0; d < size.dim; ++d) cpu::store(to[d], sums[r * size.width + d] * inverse);
      log_sum_exp[t] = softmax.top[r] + std::log(total);
    }
  }
}

// A thread's scratch memory for the backward of one key/value head.
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

// Computes d_scores = P * (dP - delta) for query block i and key block j. P are the softmax weights before dropout, and
// dP is the gradient with respect to P. delta is dot(dout, out) of each query. `scores` receives P after dropout, which
// the gradient of the values needs.
void backward_scores(const BackwardScratch& s, const Sizes& size, const float* log_sum_exp, const HeadDropout& dropout,
                     int64_t i, int64_t j) {
  const int64_t begin = i * block;
  for_strips(i == j, size.rows(i), [&](int64_t first, int64_t count, int64_t seen) {
    const int64_t q = (begin + first) * size.width, keys = j * size.dim * block;
    cpu::tile_product<false>(s.scores + first * block, block, s.q + q, size.width, s.k_transposed + keys, block, count,
                             seen, size.dim, false);
    cpu::tile_product<false>(s.d_scores + first * block, block, s.dout + q, size.width, s.v_transposed + keys, block,
                             count, seen, size.dim, false);
    for (int64_t r = first; r < first + count; ++r) {
      float *p = s.scores + r * block, *d = s.d_scores + r * block;
      float shift = log_sum_exp[begin + r], delta = s.delta[begin + r];
      const int64_t keys_here = std::min(seen, size.rows(j));
      if (i == j) mask_future(p, r, seen);
      if (dropout.mask.on()) dropout.apply(d, begin + r, j * block, keys_here);
#pragma omp simd
      for (int64_t c = 0; c < seen; ++c) {
        p[c] = cpu::exp_nonpositive(p[c] - shift);  // the argument can exceed 0 only by a rounding error
        d[c] = p[c] * (d[c] - delta);
      }
      if (dropout.mask.on()) dropout.apply(p, begin + r, j * block, keys_here);
    }
  });
}

// Adds one query head's contribution to s.dk and s.dv. Writes the gradient of its queries to s.dq, without the factor
// `scale`.
void backward_head(const BackwardScratch& s, const Sizes& size, const float* log_sum_exp, const HeadDropout& dropout) {
  std::fill(s.dq, s.dq + size.row_major(), 0.0f);
  int64_t w = size.width;
  for (int64_t j = 0; j < size.blocks; ++j)
    for (int64_t i = j; i < size.blocks; ++i) {
      backward_scores(s, size, log_sum_exp, dropout, i, j);
      int64_t queries = size.rows(i), keys = size.rows(j), qi = i * block * w, kj = j * block * w;
      // Queries before `from` do not attend to keys [first, first + count).
      for_strips(i == j, keys, [&](int64_t first, int64_t count, int64_t) {
        const int64_t from = i == j ? first : 0, at = from * block + first, to = kj + first * w;
        cpu::tile_product<true>(s.dv + to, w, s.scores + at, block, s.dout + qi + from * w, w, count, w, queries - from,
                                true);
        cpu::tile_product<true>(s.dk + to, w, s.d_scores + at, block, s.q + qi + from * w, w, count, w, queries - from,
                                true);
      });
      for_strips(i == j, queries, [&](int64_t first, int64_t count, int64_t seen) {
        cpu::tile_product<false>(s.dq + qi + first * w, w, s.d_scores + first * block, block, s.k + kj, w, count, w,
                                 std::min(seen, keys), true);
      });
    }
}

}  // namespace

void CpuBackend::do_attention_forward(Tensor out, Tensor log_sum_exp, Tensor qkv, const AttentionShape& shape,
                                      const AttentionRule& rule) {
  const std::vector<Document> documents = documents_of(shape, rule.documents);
  const AttentionShape most = longest(documents, shape);
  const DropoutMask mask(rule.dropout);
  const int64_t floats = round_up(ForwardScratch::floats(Sizes(most)), lanes), stride = shape.qkv_width(),
                out_stride = shape.out_width(), group = shape.heads / shape.kv_heads;
  // Query heads that a thread takes at once. They share their keys and values, if the threads have enough to do.
  const int64_t row_heads = static_cast<int64_t>(documents.size()) * shape.kv_heads,
                together = row_heads >= 4 * threads_.size() ? group : 1, units = shape.heads / together;
  float* memory = scratch_.take(floats * threads_.size());
  cpu::with_dtype(qkv.dtype, [&](auto type) {
    using T = decltype(type);
    threads_.run(static_cast<int64_t>(documents.size()) * units, [&](int64_t unit, int thread) {
      const Document& document = documents[unit / units];
      const int64_t b = document.batch, begin = unit % units * together, first = b * shape.seq + document.begin;
      const T* row = qkv.as<T>() + first * stride;
      const T* k = row + (shape.heads + begin / group) * shape.head_dim;
      AttentionShape own = shape;
      own.seq = document.count;
      const Sizes size(own);
      const ForwardScratch s(memory + thread * floats, size);
      gather_transposed(s.keys, k, stride, size);
      gather(s.values, k + shape.kv_heads * shape.head_dim, stride, size, 1.0f);
      for (int64_t h = begin; h < begin + together; ++h)
        forward_head(out.as<T>() + first * out_stride + h * shape.head_dim,
                     log_sum_exp.as<float>() + (b * shape.heads + h) * shape.seq + document.begin,
                     row + h * shape.head_dim, s, own,
                     HeadDropout{mask, mask.on() ? mask.stream(b) : 0, document.begin, h, shape.seq});
    });
  });
}

void CpuBackend::do_attention_backward(Tensor dqkv, Tensor dout, Tensor out, Tensor log_sum_exp, Tensor qkv,
                                       const AttentionShape& shape, const AttentionRule& rule) {
  const std::vector<Document> documents = documents_of(shape, rule.documents);
  const AttentionShape most = longest(documents, shape);
  const DropoutMask mask(rule.dropout);
  int64_t floats = round_up(BackwardScratch::floats(Sizes(most)), lanes), group = shape.heads / shape.kv_heads;
  int64_t stride = shape.qkv_width(), out_stride = shape.out_width();
  float* memory = scratch_.take(floats * threads_.size());
  cpu::with_dtype(qkv.dtype, [&](auto type) {
    using T = decltype(type);
    threads_.run(static_cast<int64_t>(documents.size()) * shape.kv_heads, [&](int64_t unit, int thread) {
      const Document& document = documents[unit / shape.kv_heads];
      AttentionShape own = shape;
      own.seq = document.count;
      const Sizes size(own);
      BackwardScratch s(memory + thread * floats, size);
      int64_t b = document.batch, kv = unit % shape.kv_heads, token = b * shape.seq + document.begin;
      int64_t first = token * stride, k = first + (shape.heads + kv) * shape.head_dim,
              v = k + shape.kv_heads * shape.head_dim;
      gather(s.k, qkv.as<T>() + k, stride, size, 1.0f);
      gather_transposed(s.k_transposed, qkv.as<T>() + k, stride, size);
      gather_transposed(s.v_transposed, qkv.as<T>() + v, stride, size);
      std::fill(s.dk, s.dk + size.row_major(), 0.0f);
      std::fill(s.dv, s.dv + size.row_major(), 0.0f);
      for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
        int64_t q = first + h * shape.head_dim, o = token * out_stride + h * shape.head_dim;
        gather(s.q, qkv.as<T>() + q, stride, size, shape.scale);
        gather(s.dout, dout.as<T>() + o, out_stride, size, 1.0f);
        for (int64_t t = 0; t < size.seq; ++t) {
          const T* row = out.as<T>() + o + t * out_stride;
          float delta = 0;
          for (int64_t d = 0; d < size.dim; ++d) delta += s.dout[t * size.width + d] * cpu::load(row[d]);
          s.delta[t] = delta;
        }
        backward_head(s, size, log_sum_exp.as<float>() + (b * shape.heads + h) * shape.seq + document.begin,
                      HeadDropout{mask, mask.on() ? mask.stream(b) : 0, document.begin, h, shape.seq});
        scatter(dqkv.as<T>() + q, s.dq, stride, size, shape.scale);
      }
      scatter(dqkv.as<T>() + k, s.dk, stride, size, 1.0f);
      scatter(dqkv.as<T>() + v, s.dv, stride, size, 1.0f);
    });
  });
  if (!rule.rope.empty()) do_rope(dqkv, rule.rope, shape, true);
}

}  // namespace rowan

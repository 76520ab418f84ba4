// Attention and its gradient in float64, by the formulas of kernels/backend.h.
#pragma once

#include <algorithm>
#include <cmath>

#include "suite.h"

namespace rowan::test {

// Says where query head h, its key head and its value head begin in a row of qkv.
struct Columns {
  int64_t q, k, v;
  Columns(const AttentionShape& s, int64_t h) {
    int64_t kv = h / (s.heads / s.kv_heads);
    q = h * s.head_dim, k = (s.heads + kv) * s.head_dim, v = (s.heads + s.kv_heads + kv) * s.head_dim;
  }
};

inline double dot(const double* a, const double* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// The softmax weights of query t on keys 0..t, and log sum exp.
inline Doubles softmax_weights(const AttentionShape& s, const double* rows, const Columns& at, int64_t t,
                               double& log_sum_exp) {
  Doubles p;
  double top = -1e300, total = 0;
  for (int64_t u = 0; u <= t; ++u) {
    p.push_back(static_cast<double>(s.scale) *
                dot(rows + t * s.qkv_width() + at.q, rows + u * s.qkv_width() + at.k, s.head_dim));
    top = std::max(top, p.back());
  }
  for (double& v : p) total += v = std::exp(v - top);
  for (double& v : p) v /= total;
  log_sum_exp = top + std::log(total);
  return p;
}

struct AttentionResult {
  Doubles out, log_sum_exp;  // [tokens, out_width] and [batch, heads, seq]
};

// Attention of all rows; each query attends to itself and to earlier keys. qkv: [tokens, qkv_width].
inline AttentionResult attention_reference(const AttentionShape& s, const Doubles& qkv) {
  AttentionResult f{Doubles(static_cast<size_t>(s.tokens() * s.out_width())),
                    Doubles(static_cast<size_t>(s.tokens() * s.heads))};
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t h = 0; h < s.heads; ++h) {
      Columns at(s, h);
      const double* rows = qkv.data() + b * s.seq * s.qkv_width();
      for (int64_t t = 0; t < s.seq; ++t) {
        Doubles p = softmax_weights(s, rows, at, t, f.log_sum_exp[(b * s.heads + h) * s.seq + t]);
        double* out = f.out.data() + (b * s.seq + t) * s.out_width() + h * s.head_dim;
        for (int64_t u = 0; u <= t; ++u)
          for (int64_t d = 0; d < s.head_dim; ++d) out[d] += p[u] * rows[u * s.qkv_width() + at.v + d];
      }
    }
  return f;
}

// The gradient with respect to qkv, from the output `out` and the gradient `dout` with respect to it.
inline Doubles attention_gradient(const AttentionShape& s, const Doubles& qkv, const Doubles& out,
                                  const Doubles& dout) {
  Doubles dqkv(qkv.size());
  double scale = static_cast<double>(s.scale);
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t h = 0; h < s.heads; ++h) {
      Columns at(s, h);
      const double* rows = qkv.data() + b * s.seq * s.qkv_width();
      double* d_rows = dqkv.data() + b * s.seq * s.qkv_width();
      for (int64_t t = 0; t < s.seq; ++t) {
        double unused;
        Doubles p = softmax_weights(s, rows, at, t, unused);
        int64_t o = (b * s.seq + t) * s.out_width() + h * s.head_dim;
        double delta = dot(dout.data() + o, out.data() + o, s.head_dim);
        for (int64_t u = 0; u <= t; ++u) {
          const double *q = rows + t * s.qkv_width() + at.q, *k = rows + u * s.qkv_width() + at.k;
          double *dq = d_rows + t * s.qkv_width() + at.q, *dk = d_rows + u * s.qkv_width() + at.k;
          double* dv = d_rows + u * s.qkv_width() + at.v;
          double ds = scale * p[u] * (dot(dout.data() + o, rows + u * s.qkv_width() + at.v, s.head_dim) - delta);
          for (int64_t d = 0; d < s.head_dim; ++d) {
            dq[d] += ds * k[d];
            dk[d] += ds * q[d];
            dv[d] += p[u] * dout[o + d];
          }
        }
      }
    }
  return dqkv;
}

}  // namespace rowan::test

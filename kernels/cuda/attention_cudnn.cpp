#include "kernels/cuda/attention_cudnn.h"

#include "base/error.h"

#ifdef ROWAN_CUDNN

#define CUDNN_FRONTEND_SKIP_JSON_LIB
#include <cudnn_frontend.h>

#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>
#include <vector>

namespace rowan::cuda {
namespace {

namespace fe = cudnn_frontend;
using fe::graph::Graph;

// Ids of the tensors in the forward and backward graphs. Execution binds a pointer to each id of the graph.
enum Operand : int64_t { query = 1, key, value, result, row_values, d_result, d_query, d_key, d_value, factor };
using Pointers = std::unordered_map<int64_t, void*>;

void check(cudnnStatus_t status, const char* what) {
  if (status != CUDNN_STATUS_SUCCESS) fail("attention: cuDNN: {}: {}", what, cudnnGetErrorString(status));
}

// The text that follows the first "Reason: " in cuDNN's message, up to the end of the line. If there is no "Reason: ",
// the first line of the message.
std::string reason(const std::string& text) {
  const std::string mark = "Reason: ";
  const size_t found = text.find(mark), begin = found == std::string::npos ? 0 : found + mark.size();
  return text.substr(begin, text.find('\n', begin) - begin);
}

// Binds the ids `first`, first + 1 and first + 2 to the query, key and value heads of the packed rows.
void bind_packed(Pointers& to, Operand first, Tensor qkv, const AttentionShape& s) {
  char* row = qkv.as<char>();
  const int64_t head_bytes = s.head_dim * static_cast<int64_t>(size_of(qkv.dtype));
  to[first] = row;
  to[first + 1] = row + s.heads * head_bytes;
  to[first + 2] = row + (s.heads + s.kv_heads) * head_bytes;
}

class Cudnn final : public CudnnAttention {
 public:
  explicit Cudnn(cudaStream_t stream) {
    check(cudnnCreate(&handle_), "cannot create a handle");
    check(cudnnSetStream(handle_, stream), "cannot set the stream");
  }
  ~Cudnn() override {
    plans_.clear();
    cudnnDestroy(handle_);
  }

  std::string describe() const override {
    const size_t version = cudnnGetVersion();
    return fmt::format("cuDNN {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
  }

  size_t plan(const AttentionShape& s) override {
    auto found = plans_.find(key_of(s));
    if (found == plans_.end()) found = plans_.emplace(key_of(s), Plans{planned(s, false), planned(s, true)}).first;
    const Plans& plans = found->second;
    return static_cast<size_t>(std::max(plans.forward->get_workspace_size(), plans.backward->get_workspace_size()));
  }

  bool forward(Tensor out, Tensor log_sum_exp, Tensor qkv, const AttentionShape& s, void* workspace) override {
    Pointers pointers{{result, out.data}, {row_values, log_sum_exp.data}};
    bind_packed(pointers, query, qkv, s);
    return run(&Plans::forward, pointers, s, workspace);
  }

  bool backward(Tensor dqkv, Tensor dout, Tensor out, Tensor log_sum_exp, Tensor qkv, const AttentionShape& s,
                void* workspace) override {
    Pointers pointers{{result, out.data}, {row_values, log_sum_exp.data}, {d_result, dout.data}};
    bind_packed(pointers, query, qkv, s);
    bind_packed(pointers, d_query, dqkv, s);
    return run(&Plans::backward, pointers, s, workspace);
  }

 private:
  struct Plans {
    std::shared_ptr<Graph> forward, backward;
  };
  using Key = std::array<int64_t, 5>;
  static Key key_of(const AttentionShape& s) { return {s.batch, s.seq, s.heads, s.kv_heads, s.head_dim}; }

  std::shared_ptr<Graph> planned(const AttentionShape& s, bool backward) {
    auto graph = std::make_shared<Graph>();
    add_attention(*graph, s, backward);
    if (const auto error = graph->build(handle_, {fe::HeurMode_t::A}); error.is_bad())
      fail(
          "attention: {} has no {} for {} sequences of {} tokens, {} heads, {} key/value heads, head_dim {}: {}; use "
          "\"rowan\"",
          describe(), backward ? "backward" : "forward", s.batch, s.seq, s.heads, s.kv_heads, s.head_dim,
          reason(error.err_msg));
    return graph;
  }

  bool run(std::shared_ptr<Graph> Plans::*which, Pointers& pointers, const AttentionShape& s, void* workspace) {
    auto found = plans_.find(key_of(s));
    if (found == plans_.end()) return false;
    float scale = s.scale;
    pointers[factor] = &scale;
    if (const auto error = (found->second.*which)->execute(handle_, pointers, workspace); error.is_bad())
      fail("attention: {} failed: {}", describe(), reason(error.err_msg));
    return true;
  }

  cudnnHandle_t handle_ = nullptr;
  std::map<Key, Plans> plans_;
};

}  // namespace

void add_attention(Graph& graph, const AttentionShape& s, bool backward) {
  graph.set_io_data_type(fe::DataType_t::BFLOAT16)
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT);
  auto tensor = [](Operand name, std::vector<int64_t> shape, std::vector<int64_t> stride) {
    return fe::graph::Tensor_attributes().set_uid(name).set_dim(std::move(shape)).set_stride(std::move(stride));
  };
  // A tensor [batch, count, seq, head_dim] that is a view of memory with one row of `width` values per token.
  auto heads = [&](Operand name, int64_t count, int64_t width) {
    return tensor(name, {s.batch, count, s.seq, s.head_dim}, {s.seq * width, s.head_dim, width, 1});
  };
  fe::graph::Tensor_attributes out = heads(result, s.heads, s.out_width());
  fe::graph::Tensor_attributes log_sum_exp =
      tensor(row_values, {s.batch, s.heads, s.seq, 1}, {s.heads * s.seq, s.seq, 1, 1})
          .set_data_type(fe::DataType_t::FLOAT);
  auto q = graph.tensor(heads(query, s.heads, s.qkv_width())), k = graph.tensor(heads(key, s.kv_heads, s.qkv_width())),
       v = graph.tensor(heads(value, s.kv_heads, s.qkv_width()));
  auto scale = graph.tensor(
      tensor(factor, {1, 1, 1, 1}, {1, 1, 1, 1}).set_data_type(fe::DataType_t::FLOAT).set_is_pass_by_value(true));
  auto causal = [&](auto options) {
    return options.set_attn_scale(scale)
        .set_diagonal_alignment(fe::DiagonalAlignment_t::TOP_LEFT)
        .set_diagonal_band_right_bound(0);
  };
  if (backward) {
    auto [dq, dk, dv] = graph.sdpa_backward(
        q, k, v, graph.tensor(out), graph.tensor(heads(d_result, s.heads, s.out_width())), graph.tensor(log_sum_exp),
        causal(fe::graph::SDPA_backward_attributes().set_name("attention_backward").set_deterministic_algorithm(true)));
    *dq = heads(d_query, s.heads, s.qkv_width()).set_output(true);
    *dk = heads(d_key, s.kv_heads, s.qkv_width()).set_output(true);
    *dv = heads(d_value, s.kv_heads, s.qkv_width()).set_output(true);
  } else {
    auto [o, stats] = graph.sdpa(
        q, k, v, causal(fe::graph::SDPA_attributes().set_name("attention_forward").set_generate_stats(true)));
    *o = out.set_output(true);
    *stats = log_sum_exp.set_output(true);
  }
}

std::unique_ptr<CudnnAttention> make_cudnn_attention(cudaStream_t stream) { return std::make_unique<Cudnn>(stream); }

}  // namespace rowan::cuda

#else

namespace rowan::cuda {

std::unique_ptr<CudnnAttention> make_cudnn_attention(cudaStream_t) {
  fail(
      "attention: this rowan was built without cuDNN; use \"rowan\", or set CUDNN_HOME and CUDNN_FRONTEND_HOME and "
      "build again");
}

}  // namespace rowan::cuda

#endif

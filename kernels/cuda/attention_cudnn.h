// cuDNN's fused attention in bf16, an alternative to Rowan's own kernels. The root CMakeLists.txt enables it if it
// finds cuDNN, the headers of cuDNN's frontend (https://github.com/NVIDIA/cudnn-frontend) and nvrtc. cuDNN decides
// which shapes a GPU supports.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <memory>
#include <string>

#include "kernels/model_rules.h"

namespace cudnn_frontend::graph {
class Graph;
}

namespace rowan::cuda {

class CudnnAttention {
 public:
  virtual ~CudnnAttention() = default;
  // For example "cuDNN 9.19.0".
  virtual std::string describe() const = 0;
  // Plans the forward and the backward for a shape. Returns the bytes of workspace that both can share. Throws Error
  // with cuDNN's reason if cuDNN does not support the shape.
  virtual size_t plan(const AttentionShape& shape) = 0;
  // Like Backend's attention operations, for checked bf16 operands without documents and dropout. If the shape
  // has no plan, forward() and backward() do nothing and return false.
  virtual bool forward(Tensor out, Tensor log_sum_exp, Tensor qkv, const AttentionShape& shape, void* workspace) = 0;
  virtual bool backward(Tensor dqkv, Tensor dout, Tensor out, Tensor log_sum_exp, Tensor qkv,
                        const AttentionShape& shape, void* workspace) = 0;
};

// Throws Error when the build has no cuDNN.
std::unique_ptr<CudnnAttention> make_cudnn_attention(cudaStream_t stream);

// Adds attention's forward or backward to an empty graph. The scale is an operand of the graph, so execution passes its
// value.
void add_attention(cudnn_frontend::graph::Graph& graph, const AttentionShape& shape, bool backward);

}  // namespace rowan::cuda

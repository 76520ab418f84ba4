// cuDNN's fused attention in bf16, the second choice beside our own kernels: there where CMake finds cuDNN and the
// headers of its frontend (https://github.com/NVIDIA/cudnn-frontend). cuDNN says which shapes it takes on which GPU.
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <string>

#include "kernels/backend.h"

namespace cudnn_frontend::graph {
class Graph;
}

namespace rowan::cuda {

class CudnnAttention {
 public:
  virtual ~CudnnAttention() = default;
  // "cuDNN 9.19.0".
  virtual std::string describe() const = 0;
  // Plans the forward and the backward of a shape and returns the bytes of workspace they want. Throws Error with
  // cuDNN's reason when it does not take the shape.
  virtual size_t plan(const AttentionShape& shape) = 0;
  // As the Backend's operations, on checked bf16 operands; false where the shape has no plan.
  virtual bool forward(Tensor out, Tensor log_sum_exp, Tensor qkv, const AttentionShape& shape, void* workspace) = 0;
  virtual bool backward(Tensor dqkv, Tensor dout, Tensor out, Tensor log_sum_exp, Tensor qkv,
                        const AttentionShape& shape, void* workspace) = 0;
};

// Throws Error when the build has no cuDNN.
std::unique_ptr<CudnnAttention> make_cudnn_attention(cudaStream_t stream);

// What is planned, put into an empty graph; the scale comes with the operands.
void add_attention(cudnn_frontend::graph::Graph& graph, const AttentionShape& shape, bool backward);

}  // namespace rowan::cuda

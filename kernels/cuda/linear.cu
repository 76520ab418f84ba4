// Linear layers: products with bias, bias gradient or GELU in cuBLASLt's epilogue where cuBLASLt computes them and, if
// products are timed, where that is faster (matmul.cu). Otherwise they take separate passes.
// Bytes moved per bf16 value by a separate pass: adding a bias 4, summing a bias gradient 2; GELU's passes are in
// activation.cu. Lower bound on the time of a pass: this traffic at the bandwidth of a copy.
#include <algorithm>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/vector.cuh"

namespace rowan {
namespace {

using namespace cuda;

// Partial column sums of x[rows, cols]. A block sums 32 * width columns over every gridDim.y-th group of 8 rows. The
// loop is unrolled by four, so that a thread has several loads in flight.
constexpr int column_warps = 8;
template <typename T, int width>
__global__ void column_sums_kernel(float* partial, const T* x, int64_t rows, int64_t cols) {
  SHARED_ARRAY(float, sums, column_warps* warp_size* width);
  int warp = threadIdx.x / warp_size;
  int64_t column = (int64_t{blockIdx.x} * warp_size + threadIdx.x % warp_size) * width;
  float mine[width] = {}, values[width];
  if (column < cols)
#pragma unroll 4
    for (int64_t n = int64_t{blockIdx.y} * column_warps + warp; n < rows; n += int64_t{gridDim.y} * column_warps) {
      load(values, x + n * cols + column);
#pragma unroll
      for (int i = 0; i < width; ++i) mine[i] += values[i];
    }
#pragma unroll
  for (int i = 0; i < width; ++i) sums[threadIdx.x * width + i] = mine[i];
  __syncthreads();
  if (warp > 0 || column >= cols) return;
  for (int w = 1; w < column_warps; ++w)
#pragma unroll
    for (int i = 0; i < width; ++i) mine[i] += sums[(w * warp_size + threadIdx.x) * width + i];
#pragma unroll
  for (int i = 0; i < width; ++i) partial[blockIdx.y * cols + column + i] = mine[i];
}

// out[rows, cols] += bias[cols].
template <typename T, int width>
__global__ void add_bias_kernel(T* out, const T* bias, int64_t rows, int64_t cols) {
  int64_t vectors = cols / width;
  for (int64_t i = thread_index(); i < rows * vectors; i += thread_count()) {
    float x[width], b[width];
    load(x, out + i * width);
    load(b, bias + i % vectors * width);
#pragma unroll
    for (int j = 0; j < width; ++j) x[j] += b[j];
    store(out + i * width, x);
  }
}

}  // namespace

void CudaBackend::do_linear_forward(Tensor out, Tensor in, Tensor weight, Tensor bias) {
  const Product product = row_major(out, in, {weight, true});
  const Operands operands{out.data, out.data, weight.data, in.data, 1.0f, 0.0f};
  if (bias.empty()) return multiply(product, operands);
  auto apart = [&] {
    multiply(product, operands);
    with_dtype(out.dtype, [&](auto type) {
      using T = decltype(type);
      with_width(vector_width({out.data, bias.data}, out.cols()), [&](auto w) {
        constexpr int width = decltype(w)::value;
        launch(add_bias_kernel<T, width>, grid_for(out.numel() / width, 256), 256, 0, out.as<T>(), bias.as<T>(),
               out.rows(), out.cols());
      });
    });
  };
  Product fused = product;
  fused.epilogue = CUBLASLT_EPILOGUE_BIAS;
  Operands with_bias = operands;
  with_bias.bias = bias.data;
  if (!try_multiply(fused, with_bias, apart)) apart();
}

void CudaBackend::do_linear_backward_input(Tensor din, Tensor dout, Tensor weight, bool accumulate) {
  multiply(row_major(din, dout, weight), {din.data, din.data, weight.data, dout.data, 1.0f, accumulate ? 1.0f : 0.0f});
}

void CudaBackend::do_linear_backward_weight(Tensor d_weight, Tensor d_bias, Tensor dout, Tensor in, bool accumulate) {
  auto sum_bias = [&] {
    int64_t rows = dout.rows(), cols = dout.cols();
    with_dtype(dout.dtype, [&](auto type) {
      using T = decltype(type);
      with_width(vector_width({dout.data}, cols), [&](auto w) {
        constexpr int width = decltype(w)::value;
        int64_t columns = ceil_div(cols, warp_size * width);
        int64_t groups = std::clamp<int64_t>(multiprocessors_ * 4 / columns, 1, ceil_div(rows, column_warps));
        float* partial = workspace<float>(groups * cols);
        launch(column_sums_kernel<T, width>, dim3(unsigned(columns), unsigned(groups)), column_warps * warp_size, 0,
               partial, dout.as<T>(), rows, cols);
        sum_partials(d_bias, partial, groups, accumulate);
      });
    });
  };
  if (dout.dtype == DType::f32 && d_weight.dtype == DType::bf16) {  // cuBLASLt does not support these dtypes
    Tensor wide(workspace<float>(d_weight.numel()), DType::f32, {d_weight.dim(0), d_weight.dim(1)});
    multiply(row_major(wide, {dout, true}, in), {wide.data, wide.data, in.data, dout.data, 1.0f, 0.0f});
    accumulate ? do_add(d_weight, wide) : do_copy(d_weight, wide);
    if (!d_bias.empty()) sum_bias();
    return;
  }
  const Product product = row_major(d_weight, {dout, true}, in);
  const Operands operands{d_weight.data, d_weight.data, in.data, dout.data, 1.0f, accumulate ? 1.0f : 0.0f};
  auto apart = [&] {
    multiply(product, operands);
    if (!d_bias.empty()) sum_bias();
  };
  if (d_bias.empty() || !try_bias_gradient(product, operands, d_bias, accumulate, apart)) apart();
}

// cuBLASLt's epilogue stores the bias gradient in the dtype of the product's result, and cannot add it to an earlier
// gradient. `apart` is timed only if nothing is added, because timing runs it several times. It may also release the
// scratch memory that holds `sums`. The first micro-step of a step adds nothing, and chooses for the others too: with
// aligned_like, all of them have the same plan.
bool CudaBackend::try_bias_gradient(Product product, Operands operands, Tensor d_bias, bool accumulate,
                                    const Apart& apart) {
  if (!hopper_ || product.out != DType::f32) return false;
  const bool direct = d_bias.dtype == DType::f32 && !accumulate;
  float* sums = direct ? d_bias.as<float>() : workspace<float>(d_bias.numel());
  product.epilogue = CUBLASLT_EPILOGUE_BGRADB;
  operands.bias = sums;
  operands.aligned_like = d_bias.data;
  if (!try_multiply(product, operands, direct ? apart : Apart())) return false;
  if (!direct) sum_partials(d_bias, sums, 1, accumulate);
  return true;
}

// cuBLASLt's GELU epilogue computes the tanh form. The row length of its auxiliary matrix must be a multiple of 8. As
// in llm.c, GPUs before Hopper do not use the epilogue.
bool CudaBackend::fuses(Activation kind, const Tensor& pre) const {
  return hopper_ && kind == Activation::gelu_tanh && pre.dtype == DType::bf16 &&
         vector_width({pre.data}, pre.cols()) > 1;
}

void CudaBackend::do_linear_activation_forward(Activation kind, Tensor out, Tensor pre, Tensor in, Tensor weight,
                                               Tensor bias) {
  auto apart = [&] { Backend::do_linear_activation_forward(kind, out, pre, in, weight, bias); };
  if (!fuses(kind, pre)) return apart();
  Product product = row_major(out, in, {weight, true});
  product.epilogue = bias.empty() ? CUBLASLT_EPILOGUE_GELU_AUX : CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
  if (!try_multiply(product, {out.data, out.data, weight.data, in.data, 1.0f, 0.0f, bias.data, pre.data}, apart))
    apart();
}

void CudaBackend::do_linear_activation_backward(Activation kind, Tensor d_pre, Tensor dout, Tensor weight, Tensor pre) {
  auto apart = [&] { Backend::do_linear_activation_backward(kind, d_pre, dout, weight, pre); };
  if (!fuses(kind, pre)) return apart();
  Product product = row_major(d_pre, dout, weight);
  product.epilogue = CUBLASLT_EPILOGUE_DGELU;
  if (!try_multiply(product, {d_pre.data, d_pre.data, weight.data, dout.data, 1.0f, 0.0f, nullptr, pre.data}, apart))
    apart();
}

}  // namespace rowan

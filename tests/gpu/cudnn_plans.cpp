// Tests that cuDNN accepts the graphs of attention_cudnn.cpp, that it needs no more workspace than `rowan plan` counts,
// and that it gives reasons when it refuses a graph. The machine need not have the GPU: cuDNN plans for a description
// of the GPU.
#define CUDNN_FRONTEND_SKIP_JSON_LIB
#include <cudnn_frontend.h>
#include <fmt/core.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "kernels/cuda/attention_cudnn.h"
#include "kernels/dry/dry_backend.h"

namespace rowan {
namespace {

struct Gpu {
  int capability, multiprocessors, shared_bytes;
};
const Gpu a100{80, 108, 166912}, l40s{89, 142, 101376}, h100{90, 132, 232448}, b200{100, 148, 232448};

// A description of a GPU in cuDNN's format. Fields that do not matter here have the values of an H100.
std::string description(const Gpu& gpu) {
  return fmt::format(
      R"({{"deviceName": "", "cudaDeviceId": 0, "deviceVer": {}, "driverVer": 13000, "multiProcessorCount": {},
"maxSharedMemoryPerBlockOptin": {}, "maxSharedMemoryPerBlock": 49152, "reservedSharedMemoryPerBlock": 1024,
"maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64], "maxThreadsPerBlock": 1024,
"maxThreadsPerSM": 2048, "maxCtasPerSM": 32, "maxRegistersPerSM": 65536, "regsPerBlock": 65536, "warpSize": 32,
"totalGlobalMem": 85000000000, "l2CacheSize": 52428800, "smClockRateKHz": 1980000, "memClockRateKHz": 2619000,
"pciDeviceId": 0, "isTccDriver": 0, "supportCoopLaunch": 1}})",
      gpu.capability * 10, gpu.multiprocessors, gpu.shared_bytes);
}

// Returns cuDNN's reason for refusing the graph when cuDNN's own workspace may have at most `workspace` bytes. Returns
// an empty string if cuDNN accepts the graph.
std::string refusal(const Gpu& gpu, const AttentionShape& shape, bool backward, int64_t workspace) {
  const std::string text = description(gpu);
  auto device = std::make_shared<cudnn_frontend::DeviceProperties>();
  cudnn_frontend::graph::Graph graph;
  auto error = device->deserialize({text.begin(), text.end()});
  graph.set_device_properties(device).set_sm_version(gpu.capability);
  cuda::add_attention(graph, shape, backward);
  graph.deselect_workspace_greater_than(workspace);
  if (error.is_good()) error = graph.validate();
  if (error.is_good()) error = graph.build_operation_graph();
  if (error.is_good()) error = graph.create_execution_plans({cudnn_frontend::HeurMode_t::A});
  if (error.is_good()) error = graph.check_support();
  return error.is_good() ? "" : error.err_msg;
}

const AttentionShape gpt2{64, 1024, 12, 12, 64, 0.125f}, smollm2{32, 2048, 9, 3, 64, 0.125f};

TEST(CudnnPlans, EveryGpuHasThemInTheWorkspacePlanned) {
  for (const Gpu& gpu : {a100, l40s, h100, b200})
    for (const AttentionShape& s :
         {gpt2, smollm2, AttentionShape{2, 130, 4, 2, 24, 1}, AttentionShape{1, 66, 4, 2, 128, 1},
          AttentionShape{1, 65, 3, 1, 80, 1}, AttentionShape{3, 2, 1, 1, 8, 1}}) {
      auto dry = make_dry_backend(AttentionKernels::cudnn);
      dry->plan_attention(s, DType::bf16);
      const int64_t sums = 4 * s.batch * s.heads * s.seq;  // the frontend's part of the workspace
      for (bool backward : {false, true})
        EXPECT_EQ(refusal(gpu, s, backward, static_cast<int64_t>(dry->bytes()) - sums), "")
            << gpu.capability << " " << s.batch << " " << s.seq << " " << s.heads << " " << s.head_dim << " "
            << backward;
    }
}

TEST(CudnnPlans, WorkspaceIsWhatThePlanSays) {
  const int64_t scores = int64_t{2} * 64 * 12 * 1024 * 1024;
  EXPECT_NE(refusal(h100, gpt2, true, scores).find(fmt::format("Requires {}", scores + 256)), std::string::npos);
}

TEST(CudnnPlans, RefusalsSayWhy) {
  auto of = [](const Gpu& gpu, int64_t seq, int64_t head_dim) {
    return refusal(gpu, {1, seq, 2, 2, head_dim, 1}, true, INT64_MAX);
  };
  EXPECT_NE(of(h100, 64, 20).find("multiple of 8"), std::string::npos);
  EXPECT_NE(of(a100, 64, 136).find("less than or equal to 128"), std::string::npos);
  EXPECT_EQ(of(h100, 64, 256), "");
  EXPECT_NE(of(h100, 1, 64).find("s_q = s_kv = 1"), std::string::npos);
}

}  // namespace
}  // namespace rowan

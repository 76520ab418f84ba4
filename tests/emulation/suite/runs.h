// Small training runs on the CUDA backend with the stand-ins for the CUDA runtime and cuBLASLt, and other helpers that
// the tests of this folder share.
#pragma once

#include <cuda_runtime.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "comm/transports.h"
#include "kernels/backend.h"
#include "small_run.h"
#include "temporary_folder.h"
#include "train/trainer.h"

namespace rowan {

// A bf16 run of 4 steps with 2 micro-batches each.
inline TrainConfig config_of(const Json& model, const std::string& optimizer) {
  static const TemporaryFolder folder;
  write_small_shard(folder / "train.bin", 1000);
  const Json config = {{"model", model},
                       {"data", {{"train", folder / "train.bin"}}},
                       {"batch", {{"sequences", 4}, {"sequence_length", 16}, {"micro_batch", 2}}},
                       {"optimizer", {{"name", optimizer}, {"lr", 1e-2}}},
                       {"precision", "bf16"},
                       {"grad_clip", 1.0},
                       {"run", {{"dir", folder / "run"}, {"steps", 4}}}};
  std::filesystem::remove_all(folder / "run");
  write_file_atomically(folder / "config.json", config.dump());
  return load_config(folder / "config.json", {});
}

inline std::string error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// Returns the losses and the final weights of a run.
inline std::vector<float> run(const TrainConfig& config, Backend& backend) {
  auto alone = make_single_communicator();
  Trainer trainer(config, backend, *alone);
  std::vector<float> result;
  for (int step = 0; step < 4; ++step) result.push_back(static_cast<float>(trainer.step().loss));
  for (const Parameter& parameter : trainer.model().parameters().parameters()) {
    std::vector<float> values(static_cast<size_t>(parameter.numel()));
    trainer.model().get(parameter, values.data());
    result.insert(result.end(), values.begin(), values.end());
  }
  return result;
}

inline std::vector<float> run(const TrainConfig& config) { return run(config, *make_cuda_backend(0)); }

inline std::unique_ptr<Backend> recording_backend() {
  setenv("ROWAN_CUDA_GRAPHS", "1", 1);
  auto backend = make_cuda_backend(0);
  unsetenv("ROWAN_CUDA_GRAPHS");
  return backend;
}

// Bytes of device memory in use.
inline size_t held(const Backend&) {
  size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  return total - free;
}

}  // namespace rowan

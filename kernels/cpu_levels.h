// The CPU backend in several levels of instructions: kernels/cpu compiled for each, one of them chosen at run time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace rowan {

// The levels that this machine can run, lowest first. On x86-64 those of its psABI: v2 (SSE4.2), v3 (AVX2, FMA) and
// v4 (AVX-512); elsewhere "baseline" alone.
std::vector<std::string> cpu_levels();

// make_cpu_backend (kernels/backend.h) takes the highest, or the one that the environment's ROWAN_ISA names.
std::unique_ptr<Backend> make_cpu_backend_at(const std::string& level, int threads);

// FLOP/s of one core: of multiplications and additions on registers alone, and of the tile products that attention and
// matrix products are made of, in the first-level cache.
struct TileRates {
  double peak, tile, transposed_tile;
};
TileRates tile_rates(const std::string& level);

}  // namespace rowan

// The CPU backend for several instruction sets, called levels. kernels/cpu is compiled once for each level, and one
// level is chosen at run time.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace rowan {

class Backend;

// The levels that this machine can run, lowest first. On x86-64 they are levels of the psABI: v2 (SSE4.2), v3 (AVX2,
// FMA) and v4 (AVX-512). On other processors there is only "baseline".
std::vector<std::string> cpu_levels();

// The CPU backend of one level. Throws Error if the level does not exist or this machine cannot run it.
// make_cpu_backend (kernels/backend.h) uses the highest level, or the level that the environment variable ROWAN_ISA
// names.
std::unique_ptr<Backend> make_cpu_backend_at(const std::string& level, int threads);

// FLOP/s of one core. peak: multiply-adds whose operands are in registers. tile: tile_product<false> of
// kernels/cpu/tile.h, with operands in cache. transposed_tile: tile_product<true>.
struct TileRates {
  double peak, tile, transposed_tile;
};
TileRates tile_rates(const std::string& level);

}  // namespace rowan

// The CPU backend for several instruction sets: kernels/cpu is compiled once per level, and one level is chosen at run
// time.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace rowan {

class Backend;

// The levels that this machine can run, lowest first. On x86-64 they are those of its psABI: v2 (SSE4.2), v3 (AVX2,
// FMA) and v4 (AVX-512); elsewhere "baseline" alone.
std::vector<std::string> cpu_levels();

// make_cpu_backend (kernels/backend.h) uses the highest level, or the one named by the environment variable ROWAN_ISA.
std::unique_ptr<Backend> make_cpu_backend_at(const std::string& level, int threads);

// FLOP/s of one core. peak: multiply-adds on registers. tile, transposed_tile: the tile products of attention and
// matrix products (kernels/cpu/tile.h), with operands in L1 cache.
struct TileRates {
  double peak, tile, transposed_tile;
};
TileRates tile_rates(const std::string& level);

}  // namespace rowan

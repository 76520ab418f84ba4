#include "base/human.h"

#include <fmt/core.h>

#include <cmath>

namespace rowan {
namespace {

std::string three_digits(double value) {
  return fmt::format("{:.{}f}", value, std::abs(value) < 9.995 ? 2 : std::abs(value) < 99.95 ? 1 : 0);
}

// Formats `value` in the largest unit in which its magnitude is at least 0.9995, else in the first unit. For example,
// 999.5 becomes "1.00K" instead of "1000". A value in the first unit gets no decimals.
std::string scaled(double value, double base, const char* const* units, int count) {
  int unit = 0;
  for (; unit + 1 < count && std::abs(value) >= base * (1 - 0.0005); ++unit) value /= base;
  return (unit == 0 ? fmt::format("{:.0f}", value) : three_digits(value)) + units[unit];
}

}  // namespace

std::string human_count(double value) {
  const char* const units[] = {"", "K", "M", "B", "T"};
  return scaled(value, 1000, units, 5);
}

std::string human_flops(double per_second) {
  const char* const units[] = {" FLOP/s", " KFLOP/s", " MFLOP/s", " GFLOP/s", " TFLOP/s", " PFLOP/s"};
  return scaled(per_second, 1000, units, 6);
}

std::string human_bytes(double bytes) {
  const char* const units[] = {" B", " KiB", " MiB", " GiB", " TiB"};
  return scaled(bytes, 1024, units, 5);
}

std::string human_duration(double seconds) {
  if (!std::isfinite(seconds)) return "-";
  if (seconds < 9.95) return fmt::format("{:.1f}s", seconds);
  int64_t s = std::llround(seconds);
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return fmt::format("{}m {:02}s", s / 60, s % 60);
  if (s < 86400) return fmt::format("{}h {:02}m", s / 3600, s % 3600 / 60);
  return fmt::format("{}d {:02}h", s / 86400, s % 86400 / 3600);
}

}  // namespace rowan

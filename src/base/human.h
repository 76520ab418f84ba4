// Numbers formatted for people.
#pragma once

#include <cstdint>
#include <string>

namespace rowan {

// Powers of 1000: "5", "512", "5.00K", "124M", "1.30B", "10.2T".
std::string human_count(double value);
// FLOP/s in powers of 1000: "412 GFLOP/s".
std::string human_flops(double per_second);
// Powers of 1024: "512 B", "1.50 GiB".
std::string human_bytes(double bytes);
// "0.5s", "42s", "3m 05s", "2h 07m", "5d 03h"; "-" if `seconds` is not finite.
std::string human_duration(double seconds);

}  // namespace rowan

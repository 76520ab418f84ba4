// The names in a sweep's folder that no run may have, because the sweep uses them itself.
#pragma once

#include <algorithm>
#include <string_view>

namespace rowan {

// sweep/ledger.h says what these folders hold.
inline constexpr std::string_view sweep_folders[] = {"diverged", "configs", "logs", "failed"};
inline constexpr std::string_view sweep_files[] = {"sweep.json", "table.md",    "table.csv",
                                                   "table.json", "report.html", "lock"};

// Whether a run of this name would have the sweep's own folder, one above it, or one of its files.
inline bool is_taken_by_sweep(std::string_view name) {
  return name.empty() || name == "." || name == ".." || std::ranges::count(sweep_folders, name) > 0 ||
         std::ranges::count(sweep_files, name) > 0;
}

}  // namespace rowan

#include "sweep/sweep_run.h"

#include <cctype>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "base/files.h"
#include "base/json_path.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

// Turns a label into part of a folder name. Letters beyond ASCII are kept, because labels that differ in them would
// otherwise have one name.
std::string slug(std::string text) {
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80 && !std::isalnum(byte) && !std::strchr(".+-=", c)) c = '-';
  }
  return text;
}

std::string last_part(const std::string& path) { return path.substr(path.rfind('.') + 1); }

// A tuned value as the config's key takes it. Keys of integers do not take 5.0.
Json tuned_json(double value) {
  constexpr double most = int64_t{1} << 53;  // a double holds all integers up to this one
  return value == std::floor(value) && value < most ? Json(static_cast<int64_t>(value)) : Json(value);
}

// Whether this is the folder of a run of this seed.
bool has_seed(const fs::path& folder, int64_t seed) {
  std::error_code unreadable;
  const fs::path file = folder / "config.json";
  if (!fs::is_regular_file(file, unreadable)) return false;
  const Json config = try_parse_json(read_file(file));
  const Json* stored = value_at(config, "run.seed");
  return stored && *stored == seed;
}

}  // namespace

double rounded_value(double value) { return std::strtod(fmt::format("{:.6g}", value).c_str(), nullptr); }

SweepRun make_run(const SweepConfig& sweep, size_t cell, std::optional<double> tuned, std::optional<int64_t> seed) {
  SweepRun run{cell, {}, seed, ""};
  std::vector<std::string> parts;
  for (size_t axis = 0; axis < sweep.axes.size(); ++axis) {
    // A label that is a number does not say what it means, so the name of the axis precedes the label.
    const std::string& label = sweep.cells[cell].labels[axis];
    const bool bare = label.find_first_not_of("0123456789.eE+-") == std::string::npos;
    parts.push_back(slug((bare ? last_part(sweep.axes[axis].name) : "") + label));
  }
  if (tuned) {
    run.tuned = rounded_value(*tuned);
    parts.push_back(fmt::format("{}{:.6g}", last_part(sweep.tuning->paths[0]), *run.tuned));
  }
  run.name = parts.empty() ? "run" : fmt::format("{}", fmt::join(parts, "_"));
  if (seed) {
    parts.push_back(fmt::format("seed{}", *seed));
    const std::string with_seed = fmt::format("{}", fmt::join(parts, "_"));
    const bool begun = fs::exists(sweep.dir / with_seed), other = !has_seed(sweep.dir / run.name, *seed);
    if (sweep.seeds.size() > 1 ? begun || other : begun && other) run.name = with_seed;
  }
  return run;
}

TrainConfig config_of(const SweepConfig& sweep, const SweepRun& run) {
  const Cell& cell = sweep.cells[run.cell];
  std::vector<Edit> edits = cell.settings;
  if (run.tuned)
    for (const std::string& path : sweep.tuning->paths) edits.push_back({path, tuned_json(*run.tuned), sweep.tune_at});
  if (run.seed) edits.push_back({"run.seed", *run.seed, sweep.seeds_at});
  edits.push_back({"run.dir", (sweep.dir / run.name).string(), sweep.dir_at});
  return in_cell(sweep, cell, [&] {
    auto text = sweep.texts->find(cell.config);
    if (text == sweep.texts->end()) text = sweep.texts->emplace(cell.config, read_config(cell.config).text).first;
    return parse_config({text->first, text->second}, edits);
  });
}

}  // namespace rowan

// Compares every published setting with the config that claims to reproduce it. Configs are read as `rowan train` reads
// them.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "base/json_path.h"
#include "model/layout.h"
#include "optim/recipes.h"
#include "paths.h"
#include "report/targets.h"
#include "sweep/sweep_run.h"
#include "train/config.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

// The settings of a config, including defaults of recipe and schedule.
Json settings_of(const TrainConfig& config) {
  Json view = {{"parameters", parameter_table(config.model).count()},
               {"model", config.model.resolved},
               {"optimizer", to_json(config.optimizer)},
               {"schedule", to_json(config.schedule)},
               {"grad_clip", config.grad_clip},
               {"precision", name_of(config.precision)},
               {"residual", name_of(config.residual)}};
  view["batch"] = {{"sequences", config.batch.sequences}, {"sequence_length", config.batch.sequence_length}};
  view["run"] = {{"steps", config.run.steps},
                 {"seed", config.run.seed},
                 {"eval_every", config.run.eval_every},
                 {"eval_tokens", config.run.eval_tokens}};
  view["data"] = {{"reading", name_of(config.data.reading)},
                  {"batch_means", {{"ranks", config.data.batch_means.ranks}, {"rows", config.data.batch_means.rows}}}};
  return view;
}

bool equal(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) return a.get<double>() == b.get<double>();
  if (!a.is_array() || !b.is_array() || a.size() != b.size()) return a == b;
  return std::equal(a.begin(), a.end(), b.begin(), equal);
}

// The differences between a config and the published settings.
std::vector<std::string> deviations(const Json& published, const Json& view) {
  std::vector<std::string> paths;
  for (const auto& [path, value] : published.items()) {
    const Json* ours = value_at(view, path);
    if (!ours || !equal(*ours, value))
      paths.push_back(fmt::format("{}: {}, published {}", path, ours ? ours->dump() : "absent", value.dump()));
  }
  return paths;
}

struct Paper {
  fs::path folder;
  Json settings;                         // settings by config file
  std::vector<std::string> unpublished;  // settings that the paper does not state
};

std::vector<Paper> papers() {
  std::vector<Paper> all;
  for (const auto& entry : fs::directory_iterator(source_path("configs/papers"))) {
    if (!entry.is_directory()) continue;
    const fs::path file = entry.path() / "targets.json";
    const Json targets = parse_json({file.string(), read_file(file)});
    all.push_back({entry.path(), targets.at("settings"), targets.value("unpublished", std::vector<std::string>())});
  }
  return all;
}

bool is_run(const fs::path& path) {
  const std::string name = path.filename().string();
  return path.extension() == ".json" && name != "targets.json" && !name.starts_with("sweep_");
}

TEST(PublishedSettings, EveryConfigHasThemAndAgrees) {
  for (const Paper& paper : papers()) {
    for (const auto& entry : fs::directory_iterator(paper.folder)) {
      if (!is_run(entry.path())) continue;
      SCOPED_TRACE(entry.path().string());
      const std::string name = entry.path().filename().string();
      ASSERT_TRUE(paper.settings.contains(name)) << "no published settings";
      const TrainConfig config = load_config(entry.path().string(), {});
      EXPECT_EQ(deviations(paper.settings[name], settings_of(config)), std::vector<std::string>());
    }
    for (const auto& [name, unused] : paper.settings.items()) EXPECT_TRUE(fs::exists(paper.folder / name)) << name;
  }
}

// Settings that the published settings need not contain.
bool ours(const std::string& path) {
  static const std::vector<std::string> free = {"batch.micro_batch",
                                                "run.dir",
                                                "run.log_every",
                                                "run.checkpoint_every",
                                                "run.keep",
                                                "run.seed",
                                                "run.eval_every",
                                                "run.eval_tokens",
                                                "data.train",
                                                "data.validation",
                                                "data.order",
                                                "data.format",
                                                "data.width",
                                                "data.end_id",
                                                "data.mixture",
                                                "device",
                                                "shard",
                                                "recompute",
                                                "optimizer.telemetry_every",
                                                "tokenizer",
                                                "comment",
                                                "reduce",
                                                "model.initializer_range",
                                                "model.max_position_embeddings",
                                                "model.n_positions"};
  return std::any_of(free.begin(), free.end(),
                     [&](const std::string& p) { return path == p || path.starts_with(p + "."); });
}

void leaves(const Json& value, const std::string& path, std::vector<std::string>& out) {
  if (value.is_structured()) {
    for (const auto& [key, part] : value.items()) leaves(part, path.empty() ? key : path + "." + key, out);
  } else if (!ours(path) && path != "model") {
    out.push_back(path);
  }
}

std::vector<Json> mutations(const std::string& path, const Json& value) {
  if (value.is_boolean()) return {!value.get<bool>()};
  if (value.is_number_integer()) {
    const int64_t n = value;
    return {n * 2, n / 2, n + 1, n - 1, 1};
  }
  if (value.is_number()) return {value.get<double>() * 1.5, value.get<double>() / 1.5, value.get<double>() + 0.01};
  std::vector<Json> names;
  if (path.ends_with("schedule.name")) return {"cosine", "linear", "constant", "wsd"};
  if (path.ends_with(".name")) {
    for (const std::string& name : recipe_names()) names.emplace_back(name);
    return names;
  }
  for (const char* name : {"fp32", "bf16", "bf16_pure", "hidden", "two_dimensional", "packed", "documents", "compute",
                           "head", "ema", "heavy_ball", "gelu", "gelu_new", "keller", "axis", "cosine", "linear"})
    names.emplace_back(name);
  return names;
}

Json model_file(const fs::path& path) { return parse_json({path.string(), read_file(path)}); }

// Changes each setting that must be published. deviations() must find every such change.
TEST(PublishedSettings, AMutationOfAnyFails) {
  size_t mutated = 0;
  const fs::path file = fs::temp_directory_path() / fmt::format("rowan_mutation_{}.json", ::getpid());
  for (const Paper& paper : papers()) {
    for (const auto& [name, published] : paper.settings.items()) {
      Json json = parse_json({name, read_file(paper.folder / name)});
      if (json["model"].is_string()) json["model"] = model_file(paper.folder / json["model"].get<std::string>());
      std::vector<std::string> paths;
      leaves(json, "", paths);
      for (const std::string& path : paths) {
        if (path.starts_with("model.") && !json["model"].contains(path.substr(6))) continue;
        if (std::count(paper.unpublished.begin(), paper.unpublished.end(), path)) continue;
        bool changed = false;
        for (const Json& value : mutations(path, *value_at(json, path))) {
          Json copy = json;
          *const_cast<Json*>(value_at(copy, path)) = value;
          if (copy == json) continue;
          // Not synced, and not truncated, which ext4 answers by writing the file to the disk: there are thousands.
          fs::remove(file);
          std::ofstream(file) << copy.dump();
          Json view;
          try {
            view = settings_of(load_config(file.string(), {}));
          } catch (const Error&) {
            continue;  // refused, so nobody can run it
          }
          changed = true;
          ++mutated;
          EXPECT_NE(deviations(published, view), std::vector<std::string>())
              << (paper.folder / name).string() << ": " << path << " = " << value;
          if (!value.is_string()) break;
        }
        if (value_at(json, path)->is_number()) {
          EXPECT_TRUE(changed) << name << ": " << path << " was never mutated";
        }
      }
    }
  }
  fs::remove(file);
  EXPECT_GT(mutated, 1000);
}

TEST(PublishedSettings, EveryFigureBelongsToAConfigAndAllSweepsAreValid) {
  for (const Paper& paper : papers()) {
    for (const Json& item : load_targets((paper.folder / "targets.json").string())) {
      const Target target = parse_target(item);
      SCOPED_TRACE(target.config + ": " + target.source);
      ASSERT_TRUE(fs::exists(target.config));
      const TrainConfig config = load_config(target.config, {});
      EXPECT_NO_THROW(check_metric(target.metric, config.data, target.config));
      if (target.batches) {
        EXPECT_GT(config.data.batch_means.ranks, 0);
      }
    }
    for (const auto& entry : fs::directory_iterator(paper.folder))
      if (entry.path().filename().string().starts_with("sweep_")) {
        EXPECT_NO_THROW(load_sweep(entry.path().string(), {}, false)) << entry.path();
      }
  }
}

// Of the results that fit a run, a report draws the curve whose `set` is that of the one in the table. Figures of a
// config as it stands must therefore have one `set`.
TEST(PublishedSettings, NoPointOfAConfigsOwnCurveIsHidden) {
  for (const Paper& paper : papers()) {
    const Json targets = load_targets((paper.folder / "targets.json").string());
    for (const Json& item : targets) {
      const Target target = parse_target(item);
      SCOPED_TRACE(fmt::format("{} at step {}", target.config, target.step));
      const Json config = load_config(target.config, {}).resolved;
      if (!target_of(Json::array({item}), target.config, config)) continue;  // of the config with other values
      const std::optional<Target> shown = target_of(targets, target.config, config);
      ASSERT_TRUE(shown);
      if (target.step != shown->step) {
        EXPECT_EQ(target.set, shown->set);
      }
    }
  }
}

}  // namespace
}  // namespace rowan

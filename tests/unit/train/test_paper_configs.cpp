// Loads the papers' configs as `rowan train` does, and checks the sizes of the models in `published`.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "model/layout.h"
#include "paths.h"
#include "temporary_folder.h"
#include "train/config.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

TEST(PaperConfigs, AllAreValidAndOfTheirSize) {
  const std::map<std::string, int64_t> published = {{"galore/llama_60m_adamw", 58'073'600},
                                                    {"galore/llama_130m_adamw", 134'105'856},
                                                    {"galore/llama_350m_adamw", 367'969'280},
                                                    {"galore/llama_1b_adamw", 1'339'082'752},
                                                    {"rmnp/llama_350m_rmnp", 271'090'688},
                                                    {"muoneq/llama_1b_muoneq-r", 1'339'082'752},
                                                    {"namo/gpt2_124m_namo", 124'373'760},
                                                    {"namo/gpt2_355m_namo-d", 354'599'936},
                                                    {"llmc/gpt2_124m", 124'439'808},
                                                    {"llmc/gpt2_774m", 774'030'080},
                                                    {"smollm2/135m", 134'515'008},
                                                    {"smollm2/360m", 361'821'120},
                                                    {"track3/track3_162m_muon", 162'354'816},
                                                    {"track3/track3_162m_adamw", 162'354'816},
                                                    {"nanogpt/shakespeare_char", 10'818'816},
                                                    {"llama2c/stories15m", 15'191'712}};
  const fs::path folder = source_path("configs/papers");
  const TemporaryFolder scratch;
  std::map<std::string, std::string> owner;
  size_t sizes_checked = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string file = entry.path().filename().string();
    if (entry.path().extension() != ".json" || file == "targets.json" || file.starts_with("sweep_")) continue;
    const std::string name = fs::relative(entry.path(), folder).replace_extension().string();
    SCOPED_TRACE(name);
    TrainConfig config = load_config(entry.path().string(), {});
    // The config that a run writes describes the same run.
    EXPECT_EQ(load_config(scratch.write("config.json", config.resolved.dump()), {}).resolved, config.resolved);
    // No two configs may name the same run.dir.
    EXPECT_TRUE(owner.emplace(config.run.dir, name).second) << "the same run.dir as " << owner[config.run.dir];
    EXPECT_TRUE(fs::exists(entry.path().parent_path() / "README.md"));
    if (auto size = published.find(name); size != published.end()) {
      EXPECT_EQ(parameter_table(config.model).count(), size->second);
      ++sizes_checked;
    }
  }
  EXPECT_EQ(sizes_checked, published.size());
}

}  // namespace
}  // namespace rowan

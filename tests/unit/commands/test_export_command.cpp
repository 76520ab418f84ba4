// Tests `rowan export --dtype`. The bf16 export holds the rounded values of the fp32 export.
#include <bit>
#include <cmath>
#include <sstream>

#include "base/safetensors.h"
#include "commands/commands.h"
#include "small_run.h"
#include "unit/data/token_files.h"

namespace rowan {
namespace {

class ExportDtype : public WithFolder {
 protected:
  std::filesystem::path exported(const std::string& options) {
    const std::filesystem::path folder = folder_ / ("hf" + std::to_string(++exports_));
    CommandLine line("export", "");
    add_export(line);
    std::istringstream words((folder_ / "run").string() + " " + folder.string() + options);
    EXPECT_EQ(error_of([&] { line.parse({std::istream_iterator<std::string>(words), {}}); }), "");
    return folder;
  }
  static Json config_in(const std::filesystem::path& folder) { return Json::parse(read_file(folder / "config.json")); }

  int exports_ = 0;
};

// The nearer of the two bf16 numbers around a finite number; of two equally near ones, the one whose last bit is 0.
float nearest_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value), below = bits & 0xffff0000u;
  const float toward_zero = std::bit_cast<float>(below), away = std::bit_cast<float>(below + 0x10000u);
  const double one = std::fabs(double{value} - toward_zero), other = std::fabs(double{value} - away);
  if (one == other) return below & 0x10000u ? away : toward_zero;
  return one < other ? toward_zero : away;
}

TEST_F(ExportDtype, Bf16IsTheRoundedFp32) {
  for (const Json& model : {small_llama(), small_gpt2()}) {
    SCOPED_TRACE(model.dump());
    write_small_run(folder_ / "run", model);
    const std::filesystem::path wide = exported(""), narrow = exported(" --dtype bf16");
    EXPECT_EQ(config_in(wide)["torch_dtype"], "float32");
    EXPECT_EQ(config_in(narrow)["torch_dtype"], "bfloat16");
    const SafeTensors all(wide / "model.safetensors"), rounded(narrow / "model.safetensors");
    ASSERT_EQ(rounded.names(), all.names());
    size_t changed = 0;
    for (const StoredTensor& tensor : all.tensors()) {
      const StoredTensor& other = rounded.find(tensor.name);
      EXPECT_EQ(tensor.dtype, "F32") << tensor.name;
      EXPECT_EQ(other.dtype, "BF16") << tensor.name;
      EXPECT_EQ(other.shape, tensor.shape) << tensor.name;
      const std::vector<float> values = read_floats(tensor);
      std::vector<float> want;
      for (float value : values) want.push_back(nearest_bf16(value));
      EXPECT_EQ(read_floats(other), want) << tensor.name;
      changed += want != values;
    }
    EXPECT_GT(changed, all.tensors().size() / 2) << "most tensors must have values that need rounding";
  }
}

TEST_F(ExportDtype, OtherDtypesAreRefused) {
  write_small_run(folder_ / "run", small_llama());
  CommandLine line("export", "");
  add_export(line);
  EXPECT_ERROR(line.parse({(folder_ / "run").string(), (folder_ / "hf").string(), "--dtype", "fp16"}), "--dtype");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "hf"));
}

TEST_F(ExportDtype, AFolderHasAName) {
  write_small_run(folder_ / "run", small_llama());
  CommandLine line("export", "");
  add_export(line);
  EXPECT_ERROR(line.parse({(folder_ / "run").string(), ""}), "DIR: found an empty text");
}

}  // namespace
}  // namespace rowan

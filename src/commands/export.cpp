#include "run/export.h"

#include <fmt/core.h>

#include <memory>

#include "base/console.h"
#include "commands/commands.h"
#include "run/run_folder.h"
#include "run/tokenizer_match.h"

namespace rowan {
namespace {

struct ExportOptions {
  std::string step = "newest", weights = "raw", run, folder, dtype = "fp32";
};

void run_export(const ExportOptions& options) {
  auto note = [](const std::string& text) { tell("rowan: {}\n", text); };
  RunFolder source(options.run, options.step, note, options.weights);
  std::unique_ptr<Tokenizer> tokenizer;
  uint64_t hash = tokenizer_of_checkpoint(source.checkpoint());
  ExportFiles beside = model_card(source, options.folder);
  if (!source.tokenizer().empty()) {
    try {
      tokenizer = make_tokenizer(source.tokenizer());
      check_same_tokenizer(tokenizer->hash(), source.tokenizer(), hash, "the run");
      if (hash == 0) hash = tokenizer->hash();
      beside.merge(tokenizer_files(*tokenizer, source.model().positions));
    } catch (const Error& error) {
      tokenizer.reset();
      note(fmt::format("exporting without a tokenizer: {}", error.what()));
    }
  }
  export_model(source.model(), source.checkpoint().model(), options.dtype == "bf16" ? DType::bf16 : DType::f32,
               tokenizer.get(), options.folder, beside, hash);
  note(fmt::format("{} of {}{} is now in {}", source.checkpoint().folder().filename().string(), options.run,
                   options.weights == "raw" ? "" : ", " + options.weights + " weights,", options.folder));
}

}  // namespace

void add_export(CommandLine& command) {
  auto options = std::make_shared<ExportOptions>();
  command.add("RUN", options->run, "run directory, or one of its checkpoints").required();
  command.add("--step", options->step, "which checkpoint of the run: a step, best or newest").show_default();
  command.add("--weights", options->weights, "which weights: raw, or an average that the run keeps (ema or tail)")
      .show_default()
      .one_of({"raw", "ema", "tail"});
  command.add("DIR", options->folder, "directory to write").required();
  command.add("--dtype", options->dtype, "dtype of the weights: fp32 or bf16").show_default().one_of({"fp32", "bf16"});
  command.set_action([options] { run_export(*options); });
}

}  // namespace rowan

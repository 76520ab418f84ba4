#include "run/export.h"

#include <fmt/format.h>

#include <memory>

#include "base/error.h"
#include "commands/commands.h"
#include "run/run_folder.h"

namespace rowan {
namespace {

struct Options {
  std::string run, folder, dtype = "f32";
};

void run(const Options& options) {
  auto tell = [](const std::string& text) { fmt::print(stderr, "rowan: {}\n", text); };
  RunFolder source(options.run, tell);
  std::unique_ptr<Tokenizer> tokenizer;
  try {
    if (!source.tokenizer().empty()) tokenizer = make_tokenizer(source.tokenizer());
  } catch (const Error& error) {
    tell(fmt::format("exporting without a tokenizer: {}", error.what()));
  }
  export_model(source.model(), source.checkpoint().model(), options.dtype == "bf16" ? DType::bf16 : DType::f32,
               tokenizer.get(), options.folder);
  if (tokenizer && !export_tokenizer(*tokenizer, options.folder))
    tell(fmt::format("transformers has no files for the tokenizer {}; left out", tokenizer->spec()));
  tell(fmt::format("{} of {} is now in {}", source.checkpoint().folder().filename().string(), options.run,
                   options.folder));
}

}  // namespace

CLI::App* add_export(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("export", "write a run's model as a directory that transformers opens");
  command->add_option("RUN", options->run, "run directory")->required();
  command->add_option("DIR", options->folder, "directory to write")->required();
  command->add_option("--dtype", options->dtype, "of the weights: f32 or bf16")
      ->capture_default_str()
      ->check(CLI::IsMember({"f32", "bf16"}));
  command->callback([options] { run(*options); });
  return command;
}

}  // namespace rowan

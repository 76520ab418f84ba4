#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <filesystem>

#include "base/error.h"
#include "tools/commands.h"

// Exit codes: 0 done, 2 the user's mistake or a missing thing, 1 a defect of ours.
int main(int argc, char** argv) {
  CLI::App app{"Pretrains language models: LLaMA and GPT-2, from one JSON file.", "rowan"};
  app.require_subcommand(1);
  rowan::add_bench(app);
  rowan::add_compare(app);
  rowan::add_eval(app);
  rowan::add_export(app);
  rowan::add_generate(app);
  rowan::add_inspect(app);
  rowan::add_optimizers(app);
  rowan::add_plan(app);
  rowan::add_tales(app);
  rowan::add_tokenize(app);
  rowan::add_train(app);
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "rowan: {}; try --help\n", error.what());
    return 2;
  } catch (const rowan::Exit& exit) {
    return exit.code;
  } catch (const rowan::Error& error) {
    fmt::print(stderr, "rowan: {}\n", error.what());
    return 2;
  } catch (const std::filesystem::filesystem_error& error) {
    fmt::print(stderr, "rowan: {}\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "rowan: internal error: {}\n", error.what());
    return 1;
  }
}

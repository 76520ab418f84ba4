#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <exception>
#include <filesystem>

#include "base/error.h"
#include "base/names.h"
#include "commands/commands.h"

namespace {

// Of a misspelt command the parser would only say that one is missing.
void check_commands(const CLI::App& app, int argc, char** argv) {
  const CLI::App* at = &app;
  for (int i = 1; i < argc && argv[i][0] != '-'; ++i) {
    const CLI::App* chosen = nullptr;
    std::vector<std::string> names;
    for (const CLI::App* command : at->get_subcommands([](const CLI::App*) { return true; })) {
      names.push_back(command->get_name());
      if (names.back() == argv[i]) chosen = command;
    }
    if (names.empty()) return;
    if (!chosen)
      rowan::fail("unknown command '{}'{} (allowed: {})", argv[i], rowan::did_you_mean(argv[i], names),
                  rowan::join(names));
    at = chosen;
  }
}

}  // namespace

// Exit codes: 0 done, 2 the user's mistake or a missing thing, 1 a defect of ours.
int main(int argc, char** argv) {
  CLI::App app{"Pretrains language models: LLaMA and GPT-2, from one JSON file.", "rowan"};
  app.require_subcommand(1);
  app.set_version_flag("--version", "rowan " ROWAN_VERSION, "Print the version and exit");
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
  std::signal(SIGXFSZ, SIG_IGN);  // a file beyond the limit is an Error of the write, not the end of the process
  try {
    check_commands(app, argc, argv);
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

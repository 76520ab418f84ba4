#include <fmt/core.h>

#include <csignal>
#include <exception>
#include <filesystem>

#include "base/error.h"
#include "commands/commands.h"

// Exit codes: 0 done, 2 the user's mistake or a missing thing, 1 a defect of ours.
int main(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file beyond the limit is an Error of the write, not the end of the process
  try {
    rowan::CommandLine line("rowan", "Pretrains language models: LLaMA and GPT-2, from one JSON file.");
    line.add_version("rowan " ROWAN_VERSION);
    rowan::add_commands(line, rowan::commands());
    line.parse({argv + 1, argv + argc});
    return 0;
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

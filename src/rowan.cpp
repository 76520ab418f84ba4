#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <system_error>

#include "base/console.h"
#include "base/error.h"
#include "base/files.h"
#include "base/mapped_guard.h"
#include "base/threads.h"
#include "base/version.h"
#include "commands/commands.h"

// Exit codes: 0 for success, 1 for an internal error, 2 for a user's mistake or a missing resource. A command may throw
// Exit to choose the code.
int main(int argc, char** argv) {
  rowan::hold_standard_descriptors();
  // write() to a closed pipe, or beyond the file size limit, then fails instead of killing the process.
  for (int signal : {SIGPIPE, SIGXFSZ}) std::signal(signal, SIG_IGN);
  try {
    rowan::threads_from_environment();  // throws Error if OMP_NUM_THREADS is wrong
    rowan::CommandLine line("rowan", "Pretrains language models: LLaMA, Qwen3 and GPT-2, from one JSON file.");
    line.add_version("rowan " + rowan::version());
    rowan::add_commands(line, rowan::commands());
    line.parse({argv + 1, argv + argc});
    rowan::check_mapped_files();
    rowan::check_results_written();
    return 0;
  } catch (const rowan::Exit& exit) {
    return exit.code;
  } catch (const rowan::Error& error) {
    rowan::tell("rowan: {}\n", error.what());
    return 2;
  } catch (const std::system_error& error) {  // for example from files or threads
    // The error of fmt::print names no file.
    rowan::tell("rowan: {}\n",
                std::ferror(stdout) ? rowan::results_not_written(error.code().message()) : rowan::message_of(error));
    return 2;
  } catch (const std::bad_alloc&) {
    rowan::tell("rowan: out of memory\n");
    return 2;
  } catch (const std::exception& error) {
    rowan::tell("rowan: internal error: {}\n", error.what());
    return 1;
  }
}

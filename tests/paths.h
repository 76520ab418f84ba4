// Declares the paths of the sources and of the program under test, and the command that starts ranks. Only paths.cpp is
// compiled with the paths of a checkout.
#pragma once

#include <string>

namespace rowan {

// The path of a file or folder of the repository, as in source_path("configs/quickstart.json").
std::string source_path(const std::string& relative = "");
std::string rowan_binary();
// A path as a word of a shell's command: characters that a shell would take apart get a backslash. A path without an
// apostrophe is also right in the command of an inner shell, sh -c '...'.
std::string quoted(const std::string& path);
// The quoted rowan_binary(), for commands.
std::string rowan_command();
// The command that starts ranks, with its options; "" in a build without MPI.
std::string mpirun();

}  // namespace rowan

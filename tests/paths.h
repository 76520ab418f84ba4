// Paths of the sources and of the programs under test. Only paths.cpp is compiled with these paths, so every other test
// file compiles to the same object in every clone.
#pragma once

#include <string>

namespace rowan {

// The path of a file or folder of the repository, as in source_path("configs/quickstart.json").
std::string source_path(const std::string& relative = "");
std::string rowan_binary();
// The command that starts ranks, with its options.
std::string mpirun();

}  // namespace rowan

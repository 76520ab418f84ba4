// The text files that a command line names.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rowan {

// Expands files, patterns and "-"; folders become the text files in and below them, sorted by name, without hidden
// ones. Adds their bytes on disk to `bytes`. Throws Error for anything else, and for a folder without text files.
std::vector<std::string> expand_texts(const std::vector<std::string>& arguments, uint64_t& bytes);

// The default of --validation for `bytes` of text: the last tenth, or some 50 MB of a large text. For standard input,
// whose end is not known in advance: documents chosen by their hash.
std::string usual_validation(const std::vector<std::string>& inputs, uint64_t bytes);

}  // namespace rowan

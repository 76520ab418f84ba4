// The texts that a command line names.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rowan {

// Files, patterns of them, and "-"; of folders all texts in them and below, by name, less hidden ones. Adds their bytes
// on disk to `bytes`. Throws Error for what is neither, and for a folder without texts.
std::vector<std::string> expand_texts(const std::vector<std::string>& arguments, uint64_t& bytes);

// What of so many bytes is held out where nobody says it, as --validation takes it: the last tenth of the text, or some
// 50 MB of a large one; of standard input, whose end is not known before, documents by their hash.
std::string usual_validation(const std::vector<std::string>& inputs, uint64_t bytes);

}  // namespace rowan

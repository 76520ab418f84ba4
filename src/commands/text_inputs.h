// The text files that a command line names, and the part of their text to hold out for validation by default.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace rowan {

// Expands file names, patterns and folders to file paths; "-" (standard input) stays "-". A folder stands for the text
// files in it and its subfolders, sorted by path. Links are followed, and a folder is read once however many lead to
// it. Hidden files and subfolders are skipped. One line on stderr counts the other files that are not read, and one
// warns of files in UTF-16. Adds the sizes of the files on disk to `bytes`. Throws Error if nothing matches, if a path
// is neither file nor folder, if a folder cannot be read, or if it has no text files. `out` is the folder that the
// command writes, if it has one: it is skipped, and an Error as an argument, because its files are not text of the
// user.
std::vector<std::string> expand_texts(const std::vector<std::string>& arguments, uint64_t& bytes,
                                      const std::filesystem::path& out = {});

// The default of --validation for inputs that take `bytes` bytes on disk: the last tenth of the text, or the last part
// that takes about 50 MB on disk if that is less. If standard input is among the inputs, the length is unknown. The
// default is then about one document in a hundred, chosen by hash.
std::string usual_validation(const std::vector<std::string>& inputs, uint64_t bytes);

}  // namespace rowan

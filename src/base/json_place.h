// Places in a JSON text, for messages about it. A byte order mark at the start belongs to no line or column.
#pragma once

#include <cstddef>
#include <string>

#include "base/json_fwd.h"

namespace rowan {

// Formats "NAME:LINE:COLUMN" of a byte offset; columns count bytes from 1.
std::string place_in(const JsonSource& source, size_t byte);

// The line number, from 1, of the value at a dotted path ("run.steps") in a JSON text; 0 if it is absent.
int line_of(const std::string& text, const std::string& path);

// The byte offset of the first key that repeats an earlier key of the same object; npos if there is none. The text must
// be well-formed up to there.
size_t repeated_key(const std::string& text);

}  // namespace rowan

// A table of results and its output formats.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace rowan {

struct TableCell {
  std::string text;  // text for people; "" if there is none
  Json value;        // value for programs; null, or a number that is not finite, if there is none
};

struct Table {
  struct Column {
    std::string title;  // title for people; "" if the column is for programs only
    std::string key;    // key for programs
  };
  std::vector<Column> columns;
  std::vector<std::vector<TableCell>> rows;
  std::vector<std::string> notes;  // lines printed below the table

  std::vector<TableCell>& add_row() { return rows.emplace_back(columns.size()); }
};

// The table without the columns that are for programs only.
Table for_people(const Table& table);

enum class TableFormat { text, markdown, csv, json };
std::vector<std::string> table_formats();  // names of the formats, in the order of TableFormat

// Renders the table, ending with a newline. CSV omits the notes, which belong on stderr then; JSON is {"rows": [{key:
// value}], "notes": [...]}. A missing value is an empty field in CSV, and null in JSON.
std::string render(const Table& table, TableFormat format);
// Renders as text for a terminal of `columns` columns. If the table is too wide, its rows and columns are exchanged. If
// it is still too wide, every cell begins a line of its own. Renders as markdown if `columns` is 0 (no terminal).
std::string render_for(const Table& table, size_t columns);

}  // namespace rowan

// A table of results, and the forms it is printed in.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace rowan {

struct TableCell {
  std::string text;  // for people; "" where there is nothing to say
  Json value;        // for programs; null where there is nothing to say
};

struct Table {
  struct Column {
    std::string title;  // for people
    std::string key;    // for programs
  };
  std::vector<Column> columns;
  std::vector<std::vector<TableCell>> rows;
  std::vector<std::string> notes;  // lines below it

  std::vector<TableCell>& add_row() { return rows.emplace_back(columns.size()); }
};

enum class TableFormat { text, markdown, csv, json };
std::vector<std::string> table_formats();  // their names, in order

// Ends in a line break. CSV has no notes; JSON is {"rows": [{key: value}], "notes": [...]}.
std::string render(const Table& table, TableFormat format);
// For whoever looks: as text on a terminal of so many columns, each row as lines of its own where it would not fit; as
// markdown where there is no terminal (0).
std::string render_for(const Table& table, size_t columns);

}  // namespace rowan

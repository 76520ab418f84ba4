#include "report/table.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/console.h"

namespace rowan {
namespace {

// A cell's text in one line. A label of a sweep may contain newlines, and in Markdown a | would end its cell.
std::string cell_text(std::string text, bool markdown) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < ' '; }, ' ');
  for (size_t at = 0; markdown && (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, "\\");
  return text;
}

std::string lines(Table table, bool markdown) {
  for (Table::Column& column : table.columns) column.title = cell_text(column.title, markdown);
  for (auto& row : table.rows)
    for (TableCell& cell : row) cell.text = cell_text(cell.text, markdown);
  for (std::string& note : table.notes) note = cell_text(note, false);
  std::vector<size_t> widths;
  for (const Table::Column& column : table.columns) widths.push_back(columns_of(column.title));
  for (const auto& row : table.rows)
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], columns_of(row[c].text));
  std::string out;
  auto add = [&](const std::vector<std::string>& texts) {
    std::string line;
    for (size_t c = 0; c < texts.size(); ++c) {
      if (markdown) line += "| ";
      line += texts[c] + std::string(widths[c] - columns_of(texts[c]), ' ');
      if (markdown || c + 1 < texts.size()) line += markdown ? " " : "  ";
    }
    if (markdown) line += "|";
    while (line.ends_with(' ')) line.pop_back();
    out += line + "\n";
  };
  std::vector<std::string> texts;
  for (const Table::Column& column : table.columns) texts.push_back(column.title);
  add(texts);
  if (markdown) {
    for (size_t width : widths) out += fmt::format("|{:-<{}}", "", width + 2);
    out += "|\n";
  }
  for (const auto& row : table.rows) {
    texts.clear();
    for (const TableCell& cell : row) texts.push_back(cell.text.empty() ? "-" : cell.text);
    add(texts);
  }
  if (!table.notes.empty()) out += "\n";
  for (const std::string& note : table.notes) out += (markdown ? "- " : "") + note + "\n";
  return out;
}

std::string csv_field(const Json& value) {
  std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  if (text == "null" && !value.is_string()) text.clear();  // also of a number that is not finite
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string csv(const Table& table) {
  std::string out;
  for (size_t c = 0; c < table.columns.size(); ++c) out += (c ? "," : "") + csv_field(table.columns[c].key);
  out += "\n";
  for (const auto& row : table.rows) {
    for (size_t c = 0; c < row.size(); ++c) out += (c ? "," : "") + csv_field(row[c].value);
    out += "\n";
  }
  return out;
}

// Formats every row as several lines: title and text of each cell that is not empty. Leaves the notes out.
std::string tall(const Table& table, size_t columns) {
  size_t width = 0;
  for (const Table::Column& column : table.columns) width = std::max(width, columns_of(column.title));
  std::string out;
  for (const auto& row : table.rows) {
    for (size_t c = 0; c < row.size(); ++c)
      if (!row[c].text.empty())
        out += wrapped(fmt::format("{}{}  {}", table.columns[c].title,
                                   std::string(width - columns_of(table.columns[c].title), ' '),
                                   cell_text(row[c].text, false)),
                       columns, width + 2) +
               "\n";
    out += "\n";
  }
  return out;
}

// The texts of the table, with rows and columns exchanged.
Table transposed(const Table& table) {
  Table turned;
  turned.columns.push_back({table.columns[0].title, ""});
  for (const auto& row : table.rows) turned.columns.push_back({row[0].text, ""});
  for (size_t c = 1; c < table.columns.size(); ++c) {
    std::vector<TableCell>& row = turned.add_row();
    row[0].text = table.columns[c].title;
    for (size_t r = 0; r < table.rows.size(); ++r) row[r + 1].text = table.rows[r][c].text;
  }
  return turned;
}

size_t widest_line(std::string_view text) {
  size_t widest = 0;
  for (size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1)
    widest = std::max(widest, columns_of(text.substr(begin, text.find('\n', begin) - begin)));
  return widest;
}

}  // namespace

Table for_people(const Table& table) {
  Table shown;
  shown.notes = table.notes;
  for (const Table::Column& column : table.columns)
    if (!column.title.empty()) shown.columns.push_back(column);
  for (const auto& row : table.rows) {
    std::vector<TableCell>& cells = shown.rows.emplace_back();
    for (size_t c = 0; c < row.size(); ++c)
      if (!table.columns[c].title.empty()) cells.push_back(row[c]);
  }
  return shown;
}

std::string render_for(const Table& table, size_t columns) {
  if (columns == 0) return render(table, TableFormat::markdown);
  Table rows = for_people(table);
  rows.notes.clear();
  std::string text = lines(rows, false);
  if (widest_line(text) > columns) text = lines(transposed(rows), false);
  if (widest_line(text) > columns) text = tall(rows, columns);
  if (!table.notes.empty()) text += text.ends_with("\n\n") ? "" : "\n";
  for (const std::string& note : table.notes) text += wrapped(note, columns) + "\n";
  return text;
}

std::vector<std::string> table_formats() { return {"text", "markdown", "csv", "json"}; }

std::string render(const Table& table, TableFormat format) {
  if (format == TableFormat::csv) return csv(table);
  if (format != TableFormat::json) return lines(for_people(table), format == TableFormat::markdown);
  Json rows = Json::array();
  for (const auto& row : table.rows) {
    Json object = Json::object();
    for (size_t c = 0; c < row.size(); ++c) object[table.columns[c].key] = row[c].value;
    rows.push_back(object);
  }
  // The name of a run's folder may be invalid UTF-8.
  return Json{{"rows", rows}, {"notes", table.notes}}.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace rowan

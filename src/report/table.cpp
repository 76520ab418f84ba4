#include "report/table.h"

#include <fmt/format.h>

#include <algorithm>

namespace rowan {
namespace {

// Characters, not bytes.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](unsigned char byte) { return (byte & 0xc0) != 0x80; }));
}

std::string lines(const Table& table, bool markdown) {
  std::vector<size_t> widths;
  for (const Table::Column& column : table.columns) widths.push_back(width_of(column.title));
  for (const auto& row : table.rows)
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], width_of(row[c].text));
  std::string out;
  auto add = [&](const std::vector<std::string>& texts) {
    std::string line;
    for (size_t c = 0; c < texts.size(); ++c) {
      if (markdown) line += "| ";
      line += texts[c] + std::string(widths[c] - width_of(texts[c]), ' ');
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
  std::string text = value.is_null() ? "" : value.is_string() ? value.get<std::string>() : value.dump();
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

}  // namespace

std::vector<std::string> table_formats() { return {"text", "markdown", "csv", "json"}; }

std::string render(const Table& table, TableFormat format) {
  if (format == TableFormat::csv) return csv(table);
  if (format != TableFormat::json) return lines(table, format == TableFormat::markdown);
  Json rows = Json::array();
  for (const auto& row : table.rows) {
    Json object = Json::object();
    for (size_t c = 0; c < row.size(); ++c) object[table.columns[c].key] = row[c].value;
    rows.push_back(object);
  }
  return Json{{"rows", rows}, {"notes", table.notes}}.dump(1) + "\n";
}

}  // namespace rowan

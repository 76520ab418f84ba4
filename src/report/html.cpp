#include "report/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/human.h"
#include "report/judge.h"
#include "report/plot.h"

namespace rowan {
namespace {

constexpr const char* style =
    "body{font:15px/1.45 sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#222}"
    "h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}"
    "table{border-collapse:collapse;font-size:14px}td,th{padding:.25em .7em;text-align:right;border-bottom:1px solid "
    "#ddd}"
    "td:first-child,th:first-child{text-align:left}.wide{overflow-x:auto}svg{max-width:760px;display:block;margin:1em "
    "0}"
    "li{margin:.2em 0}code{font-size:13px}";

std::string label_of(const ResultGroup& group) {
  return group.labels.empty() ? "all runs" : fmt::format("{}", fmt::join(group.labels, ", "));
}

std::string table_html(const Table& all) {
  const Table table = for_people(all);
  std::string html = "<div class=\"wide\"><table>\n<tr>";
  for (const Table::Column& column : table.columns) html += "<th>" + escaped(column.title) + "</th>";
  html += "</tr>\n";
  for (const auto& row : table.rows) {
    html += "<tr>";
    for (const TableCell& cell : row) html += "<td>" + (cell.text.empty() ? "-" : escaped(cell.text)) + "</td>";
    html += "</tr>\n";
  }
  html += "</table></div>\n";
  if (table.notes.empty()) return html;
  html += "<ul>\n";
  for (const std::string& note : table.notes) html += "<li>" + escaped(note) + "</li>\n";
  return html + "</ul>\n";
}

// The runs that a group's table row summarizes; all runs of the group if the row summarizes none.
const std::vector<const ResultRun*>& shown(const ResultGroup& group) {
  return group.taken.empty() ? group.runs : group.taken;
}

std::vector<std::pair<double, double>> line_of(const std::vector<ResultPoint>& points) {
  std::vector<std::pair<double, double>> line;
  for (const ResultPoint& point : points) line.emplace_back(point.step, point.loss);
  return line;
}

// The mean of each window of points. A window holds one hundredth of the points, but at least one. Without smoothing,
// the noise of single steps would hide how curves differ.
std::vector<std::pair<double, double>> smoothed(const std::vector<ResultPoint>& points) {
  std::vector<std::pair<double, double>> line;
  const size_t window = std::max<size_t>(1, points.size() / 100);
  for (size_t i = 0; i + window <= points.size(); i += window) {
    double sum = 0;
    for (size_t k = i; k < i + window; ++k) sum += points[k].loss;
    line.emplace_back(points[i + window - 1].step, sum / static_cast<double>(window));
  }
  return line;
}

template <typename Line>
Plot curves(const std::vector<ResultGroup>& groups, const std::string& title, const std::string& y_label, Line line) {
  Plot plot{title, "step", y_label, false, {}};
  for (size_t g = 0; g < groups.size(); ++g) {
    std::string label = label_of(groups[g]);
    for (const ResultRun* run : shown(groups[g])) {
      PlotSeries series{label, g, false, line(*run)};
      if (series.points.empty()) continue;
      plot.series.push_back(series);
      label.clear();  // only the first curve of a group has a legend entry
    }
  }
  return plot;
}

// Adds published points to the plot. The points of a group have the color of the group's curves.
void add_targets(const ResultSet& set, const std::vector<ResultGroup>& groups, Plot& plot) {
  std::set<std::string> configs;
  for (size_t g = 0; g < groups.size(); ++g) {
    PlotSeries series{groups[g].target ? "published: " + label_of(groups[g]) : "", g, true, {}};
    for (const Json& item : set.targets) {
      const Target target = parse_target(item);
      const auto loss = published_loss(target, set.metric);
      const bool ours =
          groups[g].target && target.config == groups[g].target->config && target.set == groups[g].target->set;
      if (ours && loss) series.points.emplace_back(target.step, *loss);
    }
    if (!series.points.empty()) plot.series.push_back(series);
  }
}

Plot loss_against_tuned(const ResultSet& set, const std::vector<ResultGroup>& groups) {
  Plot plot{fmt::format("{} at the end against {}", set.metric, set.tuned), set.tuned, set.metric, true, {}};
  for (size_t g = 0; g < groups.size(); ++g) {
    PlotSeries series{label_of(groups[g]), g, false, {}};
    for (const ResultRun* run : groups[g].runs) {
      const auto loss = run->final_loss(set.metric);
      if (run->tuned && loss && run->seed == groups[g].runs.front()->seed)
        series.points.emplace_back(*run->tuned, *loss);
    }
    std::sort(series.points.begin(), series.points.end());
    if (series.points.size() > 1) plot.series.push_back(series);
  }
  return plot;
}

std::string telemetry(const std::vector<ResultGroup>& groups) {
  std::set<std::string> names;
  for (const ResultGroup& group : groups)
    for (const ResultRun* run : shown(group))
      for (const auto& [name, points] : run->telemetry)
        if (name.starts_with("mean/")) names.insert(name);
  std::string html;
  for (const std::string& name : names)
    html +=
        plot_svg(curves(groups, name.substr(5) + ", mean over the matrices", name.substr(5), [&](const ResultRun& run) {
          const auto found = run.telemetry.find(name);
          return found == run.telemetry.end() ? std::vector<std::pair<double, double>>() : line_of(found->second);
        }));
  return html;
}

void flatten(const Json& value, const std::string& path, std::map<std::string, std::string>& out) {
  if (!value.is_object() || value.empty()) {
    out[path] = value.dump();
    return;
  }
  for (const auto& [key, part] : value.items()) flatten(part, path.empty() ? key : path + "." + key, out);
}

// HTML tables of the config paths whose values differ between the first runs of the groups. run.dir and comment are
// left out. Keys that only some configs have are in a second table, because they often follow from the choice of a
// recipe and would hide the keys that the user has changed.
std::string differences(const std::vector<ResultGroup>& groups) {
  std::vector<std::map<std::string, std::string>> configs;
  std::set<std::string> paths;
  Table table;
  table.columns.push_back({"key", ""});
  for (const ResultGroup& group : groups) {
    if (shown(group).empty() || shown(group)[0]->config.is_null()) continue;
    auto& flat = configs.emplace_back();
    flatten(shown(group)[0]->config, "", flat);
    for (const auto& [path, value] : flat)
      if (path != "run.dir" && path != "comment") paths.insert(path);
    table.columns.push_back({label_of(group), ""});
  }
  Table partial = table;
  for (const std::string& path : paths) {
    std::vector<std::string> values;
    for (const auto& flat : configs) values.push_back(flat.contains(path) ? flat.at(path) : "");
    if (std::all_of(values.begin(), values.end(), [&](const std::string& v) { return v == values[0]; })) continue;
    const bool everywhere = std::find(values.begin(), values.end(), "") == values.end();
    std::vector<TableCell>& row = (everywhere ? table : partial).add_row();
    row[0].text = path;
    for (size_t i = 0; i < values.size(); ++i) row[i + 1].text = values[i];
  }
  std::string html =
      table.rows.empty() ? "<p>No differences in the keys that all groups have.</p>\n" : table_html(table);
  if (!partial.rows.empty())
    html += "<details><summary>Keys that only some groups have</summary>\n" + table_html(partial) + "</details>\n";
  return html;
}

std::string times(const std::vector<ResultGroup>& groups) {
  Table table;
  for (const char* title : {"runs", "steps", "tokens", "tokens/s", "time per run"})
    table.columns.push_back({title, ""});
  for (const ResultGroup& group : groups) {
    double tokens = 0, seconds = 0;
    for (const ResultRun* run : shown(group)) tokens += run->tokens, seconds += run->seconds;
    if (shown(group).empty() || !(seconds > 0)) continue;
    const auto count = static_cast<double>(shown(group).size());
    std::vector<TableCell>& row = table.add_row();
    row[0].text = label_of(group);
    row[1].text = fmt::format("{}", shown(group)[0]->steps);
    row[2].text = human_count(tokens / count);
    row[3].text = fmt::format("{:.0f}", tokens / seconds);
    row[4].text = human_duration(seconds / count);
  }
  return table_html(table);
}

}  // namespace

std::string html_report(const ResultSet& set, const std::string& title) {
  const std::vector<ResultGroup> groups = make_groups(set);
  std::string html(page_begin);
  html += fmt::format(
      "<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\"><title>{0}</title><style>{1}</style></head><body>\n<h1>{0}</h1>\n",
      escaped(title), style);
  html += table_html(judge(set));
  html += "<h2>Curves</h2>\n";
  Plot validation = curves(groups, set.metric, set.metric, [&](const ResultRun& run) {
    const auto found = run.validation.find(set.metric);
    return found == run.validation.end() ? std::vector<std::pair<double, double>>() : line_of(found->second);
  });
  add_targets(set, groups, validation);
  html += plot_svg(validation);
  html += plot_svg(curves(groups, "training loss, means over hundredths of the run", "loss",
                          [](const ResultRun& run) { return smoothed(run.training); }));
  if (!set.tuned.empty())
    if (const std::string svg = plot_svg(loss_against_tuned(set, groups)); !svg.empty())
      html += fmt::format("<h2>Loss against {}</h2>\n{}", escaped(set.tuned), svg);
  if (const std::string plots = telemetry(groups); !plots.empty()) html += "<h2>Optimizer telemetry</h2>\n" + plots;
  html += "<h2>Times</h2>\n" + times(groups);
  html += "<h2>Where the configs differ</h2>\n" + differences(groups);
  return html + "</body></html>\n";
}

}  // namespace rowan

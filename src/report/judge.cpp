#include "report/judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/human.h"
#include "base/json_path.h"

namespace rowan {
namespace {

void take_best(const ResultSet& set, ResultGroup& group) {
  const ResultRun* best = nullptr;
  for (const ResultRun* run : group.runs) {
    if (run->seed != group.runs.front()->seed) continue;
    const auto loss = run->final_loss(set.metric);
    if (loss && (!best || *loss < *best->final_loss(set.metric))) best = run;
  }
  if (best) group.best = best->tuned;
  std::vector<double> losses;
  for (const ResultRun* run : group.runs) {
    const auto loss = run->final_loss(set.metric);
    if (run->tuned) {
      group.lowest = group.lowest > 0 ? std::min(group.lowest, *run->tuned) : *run->tuned;
      group.highest = std::max(group.highest, *run->tuned);
    }
    if (!loss || run->tuned != group.best) continue;
    group.taken.push_back(run);
    losses.push_back(*loss);
  }
  group.loss = spread_of(losses);
  for (const ResultRun* run : group.taken)
    if (!group.target && !run->config.is_null()) group.target = target_of(set.targets, run->config_file, run->config);
}

// Whether a finished run has no loss of this metric at all.
bool lacks(const ResultRun& run, const std::string& metric) {
  const bool finished = !run.config.is_null() && run.steps == run.last_step();
  return finished && !run.diverged && !run.validation.contains(metric);
}

std::string difference_text(const Spread& difference) {
  const double half = confidence_of_mean(difference);
  std::string text = fmt::format("{:+.4f}", difference.mean);
  return std::isfinite(half) ? text + fmt::format(" ± {:.4f}", half) : text;
}

// The labels of all axes but the last. Groups that agree in these labels form a block, which is sorted by loss.
std::vector<std::string> block_of(const ResultGroup& group) {
  return {group.labels.begin(), group.labels.empty() ? group.labels.end() : group.labels.end() - 1};
}

std::string name_of(const ResultGroup& group) { return group.labels.empty() ? "the runs" : group.labels.back(); }

const ResultGroup* reference_of(const std::vector<ResultGroup>& groups, const ResultGroup& group,
                                const std::string& against) {
  for (const ResultGroup& other : groups) {
    if (std::find(other.labels.begin(), other.labels.end(), against) == other.labels.end()) continue;
    size_t different = 0;
    for (size_t i = 0; i < group.labels.size(); ++i) different += group.labels[i] != other.labels[i];
    const bool same_axis = std::find(group.labels.begin(), group.labels.end(), against) == group.labels.end();
    if (different == 1 && same_axis) return &other;
  }
  return nullptr;
}

// Whether the group's final losses are of the step at which its target was measured.
bool at_step_of_target(const ResultGroup& group) {
  return group.taken.empty() || group.taken[0]->last_step() == group.target->step;
}

// Compares the order of a block's groups, which are sorted by our loss, with the published order. Returns a note that
// names the pairs of groups whose order differs, if any; "" if no two groups can be compared. Two groups can be
// compared if both have a target of their step and a final loss, unless both diverged or the targets are equal.
std::string order_note(const ResultSet& set, const std::vector<ResultGroup>& groups, const std::vector<size_t>& block) {
  std::vector<std::string> swapped;
  bool compared = false;
  for (size_t a = 0; a < block.size(); ++a) {
    const ResultGroup& first = groups[block[a]];
    if (!first.target || first.loss.count == 0 || !at_step_of_target(first)) continue;
    for (size_t b = a + 1; b < block.size(); ++b) {
      const ResultGroup& second = groups[block[b]];
      if (!second.target || second.loss.count == 0 || !at_step_of_target(second)) continue;
      const auto published = published_loss(*first.target, set.metric),
                 other = published_loss(*second.target, set.metric);
      if (!published || !other || *published == *other || !std::isfinite(first.loss.mean)) continue;
      compared = true;
      if (*published < *other) continue;
      const Spread difference = paired_difference(set, second, first);
      const std::string by = !std::isfinite(second.loss.mean) ? ", which diverged"
                             : difference.count               ? " by " + difference_text(difference)
                                                : fmt::format(" by {:+.4f}", second.loss.mean - first.loss.mean);
      swapped.push_back(fmt::format("{} before {}{} (published: behind by {:.4f})", name_of(first), name_of(second), by,
                                    *published - *other));
    }
  }
  if (!compared) return "";
  const std::vector<std::string> labels = block_of(groups[block.front()]);
  const std::string place = labels.empty() ? "" : fmt::format(" of {}", fmt::join(labels, ", "));
  if (swapped.empty()) return fmt::format("order{}: as published", place);
  return fmt::format("order{}: not as published: {}", place, fmt::join(swapped, "; "));
}

// Returns a warning that names the seeds of which a row counts several runs; "" if there is none.
std::string repeats_note(const ResultGroup& group) {
  std::set<int64_t> repeated;
  for (const ResultRun* run : group.taken)
    if (run->seed && !group.with_seed(run->seed)) repeated.insert(*run->seed);
  if (repeated.empty()) return "";
  return fmt::format("warning: {}: several runs of seed {} are counted as different seeds; no difference pairs them",
                     name_of(group), fmt::join(repeated, " and of seed "));
}

// Returns a warning that names config keys, at most five, whose values differ among the runs that a row counts as
// seeds; "" if no key differs. Ignores run.seed, run.dir, version, comments, and keys that only some of the runs have.
std::string seeds_note(const ResultGroup& group) {
  std::set<std::string> keys;
  for (const ResultRun* run : group.taken) {
    if (run->config.is_null() || group.taken[0]->config.is_null()) continue;
    for (const Json& change : Json::diff(group.taken[0]->config, run->config)) {
      const std::string path = dotted_path(change.at("path").get<std::string>());
      if (change.at("op") == "replace" && path != "run.seed" && path != "run.dir" && path != "version" &&
          !path.starts_with("comment"))
        keys.insert(path);
    }
  }
  if (keys.empty()) return "";
  constexpr size_t most = 5;
  std::string text;
  size_t named = 0;
  for (const std::string& key : keys)
    if (++named <= most) text += (text.empty() ? "" : ", ") + key;
  if (keys.size() > most) text += fmt::format(" and {} more", keys.size() - most);
  return fmt::format("warning: {}: runs that differ in {} are counted as seeds; --by takes several keys",
                     name_of(group), text);
}

// Returns a note that names the settings of training, other than axes, in which the rows of a block differ: a lower
// loss of a longer run, a larger model or more data is no merit of the recipe. "" if they do not differ.
std::string training_note(const ResultSet& set, const std::vector<ResultGroup>& groups,
                          const std::vector<size_t>& block) {
  std::vector<const ResultRun*> runs;
  for (size_t i : block)
    if (!groups[i].taken.empty()) runs.push_back(groups[i].taken[0]);
  std::vector<std::string> differences;
  for (const std::string key : {"model", "data.train", "data.mixture", "batch.sequences", "run.steps"}) {
    if (std::find(set.axes.begin(), set.axes.end(), key) != set.axes.end()) continue;
    const std::string text = difference_in(runs, key);
    const bool is_number = key == "batch.sequences" || key == "run.steps";  // other values are long
    if (!text.empty()) differences.push_back(is_number ? text : key);
  }
  if (differences.empty()) return "";
  const std::vector<std::string> labels = block_of(groups[block.front()]);
  return fmt::format("the rows{} are not of the same training: they differ in {}",
                     labels.empty() ? "" : fmt::format(" of {}", fmt::join(labels, ", ")),
                     fmt::join(differences, " and "));
}

constexpr const char* says_at_most =
    "at most";  // marks the number of tokens of a row for which reaches_at_first() is true

// Whether a run that the row counts was at set.loss at its first evaluation already, so that it reached the loss
// earlier.
bool reaches_at_first(const ResultSet& set, const ResultGroup& group) {
  return std::any_of(group.taken.begin(), group.taken.end(), [&](const ResultRun* run) {
    const auto point = reaches(*run, set.metric, *set.loss);
    return point && point->step > 0 && point->step == run->validation.at(set.metric).front().step;
  });
}

struct Columns {
  size_t tuned = 0, tried = 0, adamw = 0, seeds = 0, loss = 0, deviation = 0, perplexity = 0, difference = 0,
         half_width = 0, pairs = 0, tokens = 0, target = 0, from_target = 0, time = 0;
};

Columns add_columns(const ResultSet& set, bool times, Table& table) {
  Columns columns;
  auto add = [&](std::string title, std::string key) {
    table.columns.push_back({std::move(title), std::move(key)});
    return table.columns.size() - 1;
  };
  for (const std::string& axis : set.axes) add(axis, axis);
  if (!set.tuned.empty()) {
    columns.tuned = add("best " + set.tuned, "best_" + set.tuned);
    columns.tried = add("tried", "tried");
  }
  const bool sweeps_rate = std::find(set.axes.begin(), set.axes.end(), "optimizer.lr") != set.axes.end();
  if (set.tuned == "lr" || sweeps_rate) columns.adamw = add("its AdamW lr", "adamw_lr");
  columns.seeds = add("seeds", "seeds");
  columns.loss = add(set.metric, set.metric);
  columns.deviation = add("sd", "deviation");
  columns.perplexity = add("perplexity", "perplexity");
  if (!set.against.empty()) {
    columns.difference = add("against " + set.against, "difference");
    columns.half_width = add("", "difference_confidence");
    columns.pairs = add("", "pairs");
  }
  if (set.loss) columns.tokens = add(fmt::format("tokens to {:g}", *set.loss), "tokens_to_loss");
  if (!set.targets.empty()) {
    columns.target = add("published", "published");
    columns.from_target = add("ours - published", "ours_minus_published");
  }
  if (times) columns.time = add("time", "seconds");
  return columns;
}

void fill_target(const ResultSet& set, const ResultGroup& group, const Columns& columns, std::vector<TableCell>& row) {
  if (!group.target) return;
  const Target& target = *group.target;
  const auto published = published_loss(target, set.metric);
  if (!published) {
    row[columns.target] = {fmt::format("{:g} ({})", target.value, target.metric), target.value};
    return;
  }
  const std::string printed = target.unit == "perplexity" ? fmt::format(" (perplexity {:g})", target.value) : "";
  const bool same_steps = at_step_of_target(group);
  row[columns.target] = {
      fmt::format("{:.4f}{}{}", *published, printed, same_steps ? "" : fmt::format(" at step {}", target.step)),
      *published};
  if (group.loss.count && same_steps && std::isfinite(group.loss.mean))
    row[columns.from_target] = {fmt::format("{:+.4f}", group.loss.mean - *published), group.loss.mean - *published};
}

void fill_row(const ResultSet& set, const std::vector<ResultGroup>& groups, const ResultGroup& group,
              const Columns& columns, std::vector<TableCell>& row) {
  for (size_t axis = 0; axis < group.labels.size(); ++axis) row[axis] = {group.labels[axis], group.labels[axis]};
  if (!set.tuned.empty() && group.best) {
    row[columns.tuned] = {fmt::format("{:g}", *group.best), *group.best};
    row[columns.tried] = {fmt::format("{:g} to {:g}", group.lowest, group.highest), {group.lowest, group.highest}};
  }
  if (columns.adamw && !group.taken.empty() && !group.taken[0]->config.is_null())
    if (const auto rate = rates_of(*group.taken[0]).adamw) row[columns.adamw] = {fmt::format("{:g}", *rate), *rate};
  const auto lacking = std::count_if(group.runs.begin(), group.runs.end(),
                                     [&](const ResultRun* run) { return lacks(*run, set.metric); });
  const auto open = std::count_if(group.runs.begin(), group.runs.end(), [&](const ResultRun* run) {
    return !run->final_loss(set.metric) && !lacks(*run, set.metric);
  });
  row[columns.seeds] = {fmt::format("{}{}", group.loss.count, open ? fmt::format(" ({} open)", open) : ""),
                        group.loss.count};
  if (!set.targets.empty()) fill_target(set, group, columns, row);
  if (group.loss.count == 0) {
    row[columns.loss] = {open == 0 && lacking ? "not measured" : "unfinished", nullptr};
    return;
  }
  const double mean = group.loss.mean;
  row[columns.loss] =
      std::isfinite(mean) ? TableCell{fmt::format("{:.4f}", mean), mean} : TableCell{"diverged", nullptr};
  if (!std::isfinite(mean)) return;
  if (std::isfinite(group.loss.deviation))
    row[columns.deviation] = {fmt::format("{:.4f}", group.loss.deviation), group.loss.deviation};
  row[columns.perplexity] = {fmt::format("{:.3f}", std::exp(mean)), std::exp(mean)};
  if (!set.against.empty())
    if (const ResultGroup* reference = reference_of(groups, group, set.against)) {
      const Spread difference = paired_difference(set, group, *reference);
      if (difference.count) {
        const bool all = difference.count == group.loss.count;
        row[columns.difference] = {
            difference_text(difference) +
                (all ? "" : fmt::format(" ({} of {} seeds)", difference.count, group.loss.count)),
            difference.mean};
        row[columns.pairs] = {"", difference.count};
        row[columns.half_width] = {"", confidence_of_mean(difference)};
      }
    }
  if (set.loss) {
    std::vector<double> tokens;
    for (const ResultRun* run : group.taken)
      if (const auto point = reaches(*run, set.metric, *set.loss)) tokens.push_back(point->tokens);
    const double mean_tokens = spread_of(tokens).mean;
    if (tokens.size() != group.taken.size())
      row[columns.tokens] = {"never", nullptr};
    else if (std::isfinite(mean_tokens))
      row[columns.tokens] = {fmt::format("{}{}", reaches_at_first(set, group) ? fmt::format("{} ", says_at_most) : "",
                                         human_count(mean_tokens)),
                             mean_tokens};
  }
}

}  // namespace

const ResultRun* ResultGroup::with_seed(std::optional<int64_t> seed) const {
  const ResultRun* found = nullptr;
  for (const ResultRun* run : taken) {
    if (run->seed != seed) continue;
    if (found) return nullptr;
    found = run;
  }
  return found;
}

std::vector<ResultGroup> make_groups(const ResultSet& set) {
  std::vector<ResultGroup> groups;
  for (const ResultRun& run : set.runs) {
    auto at = std::find_if(groups.begin(), groups.end(), [&](const ResultGroup& g) { return g.labels == run.labels; });
    if (at == groups.end()) at = groups.insert(at, ResultGroup{run.labels, {}, {}, 0, 0, {}, {}, {}});
    at->runs.push_back(&run);
  }
  for (ResultGroup& group : groups) take_best(set, group);
  return groups;
}

Spread paired_difference(const ResultSet& set, const ResultGroup& group, const ResultGroup& other) {
  std::vector<double> differences;
  for (const ResultRun* run : group.taken)
    if (const ResultRun* partner = other.with_seed(run->seed); partner && group.with_seed(run->seed)) {
      const double difference = *run->final_loss(set.metric) - *partner->final_loss(set.metric);
      if (std::isfinite(difference)) differences.push_back(difference);
    }
  return spread_of(differences);
}

std::optional<ResultPoint> reaches(const ResultRun& run, const std::string& metric, double loss) {
  const auto found = run.validation.find(metric);
  if (found == run.validation.end()) return {};
  const std::vector<ResultPoint>& curve = found->second;
  for (size_t i = 0; i < curve.size(); ++i) {
    if (curve[i].loss > loss) continue;
    if (i == 0) return curve[0];
    const ResultPoint &before = curve[i - 1], &after = curve[i];
    const double part = (before.loss - loss) / (before.loss - after.loss);
    return ResultPoint{before.step + part * (after.step - before.step),
                       before.tokens + part * (after.tokens - before.tokens), loss};
  }
  return {};
}

Table judge(const ResultSet& set, bool times) {
  Table table;
  const Columns columns = add_columns(set, times, table);
  const std::vector<ResultGroup> groups = make_groups(set);
  std::vector<std::vector<size_t>> blocks;
  for (size_t i = 0; i < groups.size(); ++i) {
    auto same = [&](const auto& block) { return block_of(groups[block.front()]) == block_of(groups[i]); };
    auto at = std::find_if(blocks.begin(), blocks.end(), same);
    if (at == blocks.end()) at = blocks.insert(at, std::vector<size_t>());
    at->push_back(i);
  }
  for (std::vector<size_t>& block : blocks) {
    std::stable_sort(block.begin(), block.end(), [&](size_t a, size_t b) {
      const Spread &first = groups[a].loss, &second = groups[b].loss;
      if ((first.count == 0) != (second.count == 0)) return first.count != 0;
      return first.count != 0 && first.mean < second.mean;
    });
    for (size_t i : block) {
      std::vector<TableCell>& row = table.add_row();
      fill_row(set, groups, groups[i], columns, row);
      if (!times) continue;
      std::vector<double> seconds;
      for (const ResultRun* run : groups[i].taken) seconds.push_back(run->seconds);
      if (!seconds.empty()) row[columns.time] = {human_duration(spread_of(seconds).mean), spread_of(seconds).mean};
    }
    if (!set.targets.empty())
      if (const std::string note = order_note(set, groups, block); !note.empty()) table.notes.push_back(note);
    if (const std::string note = training_note(set, groups, block); !note.empty()) table.notes.push_back(note);
  }
  const auto some_row = [&](auto holds) { return std::any_of(table.rows.begin(), table.rows.end(), holds); };
  size_t open = 0, lacking = 0;
  for (const ResultRun& run : set.runs) {
    lacking += lacks(run, set.metric);
    open += !run.final_loss(set.metric) && !lacks(run, set.metric);
  }
  if (!set.against.empty() && some_row([&](const auto& row) { return row[columns.pairs].value > 1; }))
    table.notes.push_back("against " + set.against +
                          ": mean difference of runs of the same seed and its 95% confidence interval (Student's t)");
  if (set.loss && some_row([&](const auto& row) { return row[columns.tokens].text.starts_with(says_at_most); }))
    table.notes.push_back(
        fmt::format("tokens to {:g}: \"{}\" is the first evaluation, which was below already; "
                    "run.eval_every makes it exact",
                    *set.loss, says_at_most));
  if (open) table.notes.push_back(fmt::format("{} of {} runs are unfinished", open, set.runs.size()));
  if (lacking)
    table.notes.push_back(fmt::format("{} of {} runs are finished without {}", lacking, set.runs.size(), set.metric));
  for (const ResultGroup& group : groups)
    for (const std::string& note : {repeats_note(group), seeds_note(group)})
      if (!note.empty()) table.notes.push_back(note);
  for (const std::string& note : notes_on(set)) table.notes.push_back(note);
  return table;
}

}  // namespace rowan

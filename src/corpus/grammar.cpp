#include "corpus/grammar.h"

#include <algorithm>
#include <cctype>
#include <map>

#include "base/error.h"

namespace rowan {
namespace {

using Item = Grammar::Item;
using Kind = Grammar::Kind;
using Sequence = Grammar::Sequence;

std::string_view trim(std::string_view text) {
  size_t begin = text.find_first_not_of(' '), end = text.find_last_not_of(' ');
  return begin == text.npos ? std::string_view() : text.substr(begin, end - begin + 1);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0;;) {
    size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(trim(text.substr(begin, end - begin)));
    if (end == text.size()) return parts;
    begin = end + 1;
  }
}

class Reader {
 public:
  Grammar read(std::string_view text) {
    for (size_t begin = 0; begin < text.size();) {
      size_t end = std::min(text.find('\n', begin), text.size());
      ++line_;
      read_line(text.substr(begin, end - begin));
      begin = end + 1;
    }
    for (const auto& [name, line] : used_) {
      if (grammar_.choices[rules_[name]].alternatives.empty()) fail("grammar line {}: no rule '{}'", line, name);
    }
    grammar_.story = rule("story");
    if (grammar_.choices[grammar_.story].alternatives.empty()) fail("grammar: no rule 'story'");
    return std::move(grammar_);
  }

 private:
  void read_line(std::string_view line) {
    std::string_view content = trim(line);
    if (content.empty() || content[0] == '#') return;
    if (line[0] != ' ') {
      open_rule_ = -1;
      if (content.starts_with("table ")) return read_table(content.substr(6));
      if (content.starts_with("rule ")) return start_rule(std::string(trim(content.substr(5))));
      fail("grammar line {}: found '{}', expected 'table' or 'rule'", line_, content);
    }
    if (open_rule_ >= 0) return read_alternative(content);
    if (grammar_.tables.empty()) fail("grammar line {}: found a row outside any table or rule", line_);
    Grammar::Table& table = grammar_.tables.back();
    std::vector<std::string_view> cells = split(content, '|');
    if (cells.size() != table.columns.size()) {
      fail("grammar line {}: found {} cells, expected {}, the number of columns of table '{}'", line_, cells.size(),
           table.columns.size(), table.name);
    }
    table.rows.emplace_back(cells.begin(), cells.end());
  }

  void read_table(std::string_view content) {
    size_t colon = content.find(':');
    if (colon == content.npos) fail("grammar line {}: expected 'table NAME: COLUMN ...'", line_);
    Grammar::Table table{std::string(trim(content.substr(0, colon))), {}, {}};
    for (std::string_view column : split(trim(content.substr(colon + 1)), ' ')) table.columns.emplace_back(column);
    grammar_.tables.push_back(std::move(table));
  }

  void start_rule(const std::string& name) {
    open_rule_ = rule(name);
    Grammar::Choice& choice = grammar_.choices[open_rule_];
    if (!choice.alternatives.empty()) fail("grammar line {}: found a second rule '{}'", line_, name);
    choice.line = line_;
  }

  void read_alternative(std::string_view content) {
    int weight = 1;
    size_t digits = std::min(content.find_first_not_of("0123456789"), content.size());
    if (digits > 0 && content.substr(digits).starts_with(" * ")) {
      weight = std::stoi(std::string(content.substr(0, digits)));
      content = content.substr(digits + 3);
    }
    rest_ = content;
    Sequence sequence = read_sequence("");
    Grammar::Choice& choice = grammar_.choices[open_rule_];
    choice.weights.push_back(weight);
    choice.total_weight += weight;
    choice.alternatives.push_back(std::move(sequence));
  }

  // Reads up to a character of `stops`, which is not consumed, or to the end of the line.
  Sequence read_sequence(std::string_view stops) {
    Sequence sequence;
    while (!rest_.empty() && stops.find(rest_[0]) == stops.npos) {
      if (rest_[0] == '{') {
        sequence.push_back(read_reference());
      } else if (rest_[0] == '[') {
        sequence.push_back(read_inline());
      } else {
        size_t end = std::min(rest_.find_first_of(std::string("{[").append(stops)), rest_.size());
        Item item;
        item.text = rest_.substr(0, end);
        for (size_t at; (at = item.text.find("\\n")) != std::string::npos;) item.text.erase(at, 1)[at] = '\n';
        sequence.push_back(std::move(item));
        rest_ = rest_.substr(end);
      }
    }
    if (sequence.empty()) fail("grammar line {}: found an empty alternative", line_);
    return sequence;
  }

  Item read_inline() {
    Grammar::Choice choice;
    choice.line = line_;
    do {
      rest_ = rest_.substr(1);
      choice.alternatives.push_back(read_sequence("|]"));
      choice.weights.push_back(1);
      ++choice.total_weight;
    } while (rest_.starts_with('|'));
    if (rest_.empty()) fail("grammar line {}: found '[' without ']'", line_);
    rest_ = rest_.substr(1);
    Item item;
    item.kind = Kind::expand;
    item.index = static_cast<int>(grammar_.choices.size());
    grammar_.choices.push_back(std::move(choice));
    return item;
  }

  Item read_reference() {
    size_t close = rest_.find('}');
    if (close == rest_.npos) fail("grammar line {}: found '{{' without '}}'", line_);
    std::string_view inside = rest_.substr(1, close - 1);
    rest_ = rest_.substr(close + 1);
    Item item;
    size_t dot = inside.find('.');
    if (dot == inside.npos) {
      item.kind = Kind::expand;
      item.index = rule(std::string(inside));
      used_.emplace(inside, line_);
      return item;
    }
    item.capital = inside.starts_with('^');
    std::string_view owner = inside.substr(item.capital, dot - item.capital), column = inside.substr(dot + 1);
    size_t equals = owner.find('=');
    std::string name(owner.substr(0, equals));
    item.kind = equals == owner.npos ? Kind::recall : Kind::draw;
    item.index = equals == owner.npos ? variable(name) : variable(name, table(owner.substr(equals + 1)));
    const Grammar::Table& table = grammar_.table_of(item);
    auto found = std::find(table.columns.begin(), table.columns.end(), column);
    if (found == table.columns.end()) fail("grammar line {}: table '{}' has no column '{}'", line_, table.name, column);
    item.column = static_cast<int>(found - table.columns.begin());
    return item;
  }

  int rule(const std::string& name) {
    auto [at, is_new] = rules_.emplace(name, static_cast<int>(grammar_.choices.size()));
    if (is_new) grammar_.choices.emplace_back().name = name;
    return at->second;
  }

  int table(std::string_view name) {
    for (size_t t = 0; t < grammar_.tables.size(); ++t) {
      if (grammar_.tables[t].name == name) return static_cast<int>(t);
    }
    fail("grammar line {}: found no table '{}' in the lines above", line_, name);
  }

  int variable(const std::string& name, int table = -1) {
    for (size_t v = 0; v < grammar_.variables.size(); ++v) {
      if (grammar_.variables[v].name != name) continue;
      if (table >= 0 && grammar_.variables[v].table != table)
        fail("grammar line {}: found '{}' with another table than in a line above", line_, name);
      return static_cast<int>(v);
    }
    if (table < 0) fail("grammar line {}: '{}' is not drawn in any line above", line_, name);
    grammar_.variables.push_back({name, table});
    return static_cast<int>(grammar_.variables.size()) - 1;
  }

  Grammar grammar_;
  // For each rule name, rules_ holds the rule's index in `choices`, and used_ the line of the rule's first use.
  std::map<std::string, int> rules_, used_;
  int line_ = 0, open_rule_ = -1;
  std::string_view rest_;  // unread rest of the line
};

// Finds the possible beginnings of each alternative. Throws Error if a beginning of one alternative is a prefix of a
// beginning of another alternative, or if one of the texts that an item may draw is a prefix of another of these texts.
// In both cases a story could have several derivations.
class Checker {
 public:
  explicit Checker(Grammar& grammar) : grammar_(grammar), state_(grammar.choices.size()) {}

  void check() {
    for (size_t c = 0; c < grammar_.choices.size(); ++c) visit(static_cast<int>(c), grammar_.choices[c].line);
  }

 private:
  using Texts = std::vector<std::string>;

  void visit(int index, int line) {
    Grammar::Choice& choice = grammar_.choices[index];
    if (state_[index] == State::done) return;
    if (state_[index] == State::open) fail("grammar line {}: rule '{}' contains itself", line, choice.name);
    state_[index] = State::open;
    Texts all;
    for (const Sequence& sequence : choice.alternatives) {
      for (const Item& item : sequence) {
        if (item.kind == Kind::expand) visit(item.index, choice.line);
        if (item.kind == Kind::draw) refuse_prefixes(starts_of(item), {}, choice.line);
      }
      Texts starts = starts_of(sequence.front());
      refuse_prefixes(all, starts, choice.line);
      all.insert(all.end(), starts.begin(), starts.end());
      choice.starts.push_back(std::move(starts));
    }
    state_[index] = State::done;
  }

  Texts starts_of(const Item& item) const {
    Texts starts;
    if (item.kind == Kind::text) {
      starts.push_back(item.text);
    } else if (item.kind == Kind::expand) {
      for (const Texts& of : grammar_.choices[item.index].starts) starts.insert(starts.end(), of.begin(), of.end());
    } else {
      for (size_t row = 0; row < grammar_.table_of(item).rows.size(); ++row) starts.push_back(grammar_.cell(item, row));
    }
    return starts;
  }

  // Compares each text of `a` with each text of `b`. If `b` is empty, compares the texts of `a` with one another.
  // Throws Error if one of two compared texts is a prefix of the other.
  static void refuse_prefixes(const Texts& a, const Texts& b, int line) {
    for (size_t i = 0; i < a.size(); ++i) {
      for (size_t j = 0; j < (b.empty() ? i : b.size()); ++j) {
        const std::string &one = a[i], &other = b.empty() ? a[j] : b[j];
        if (one.starts_with(other) || other.starts_with(one)) {
          fail("grammar line {}: found '{}' and '{}', but neither may be a prefix of the other", line, one, other);
        }
      }
    }
  }

  enum class State : uint8_t { unseen, open, done };
  Grammar& grammar_;
  std::vector<State> state_;
};

}  // namespace

std::string Grammar::cell(const Item& item, size_t row) const {
  std::string text = table_of(item).rows[row][item.column];
  if (item.capital) text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

Grammar read_grammar(std::string_view text) {
  Grammar grammar = Reader().read(text);
  Checker(grammar).check();
  return grammar;
}

}  // namespace rowan

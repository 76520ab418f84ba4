#include "corpus/tales.h"

#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/random.h"

namespace rowan {
namespace {

using Item = Grammar::Item;
using Kind = Grammar::Kind;
using Sequence = Grammar::Sequence;

// The memory of a story: the row that each variable holds (-1: none), and which rows of each table have been drawn.
struct Memory {
  explicit Memory(const Grammar& grammar) : row(grammar.variables.size(), -1) {
    for (const Grammar::Table& table : grammar.tables) drawn.emplace_back(table.rows.size(), false);
  }
  void draw(const Grammar& grammar, const Item& item, size_t chosen) {
    row[item.index] = static_cast<int>(chosen);
    drawn[grammar.variables[item.index].table][chosen] = true;
  }
  // The rows of the item's table that have not been drawn.
  std::vector<size_t> left(const Grammar& grammar, const Item& item) const {
    const std::vector<bool>& taken = drawn[grammar.variables[item.index].table];
    std::vector<size_t> rows;
    for (size_t r = 0; r < taken.size(); ++r) {
      if (!taken[r]) rows.push_back(r);
    }
    return rows;
  }

  std::vector<int> row;
  std::vector<std::vector<bool>> drawn;
};

class Teller {
 public:
  Teller(const Grammar& grammar, uint64_t seed, uint64_t index)
      : grammar_(grammar), random_(seed, index), memory_(grammar) {}

  std::string tell() {
    expand(grammar_.choices[grammar_.story]);
    return std::move(text_);
  }

 private:
  void expand(const Grammar::Choice& choice) {
    int draw = static_cast<int>(random_.below(choice.total_weight));
    size_t chosen = 0;
    for (; draw >= choice.weights[chosen]; ++chosen) draw -= choice.weights[chosen];
    for (const Item& item : choice.alternatives[chosen]) {
      if (item.kind == Kind::text) {
        text_ += item.text;
      } else if (item.kind == Kind::expand) {
        expand(grammar_.choices[item.index]);
      } else {
        if (item.kind == Kind::draw) {
          std::vector<size_t> left = memory_.left(grammar_, item);
          memory_.draw(grammar_, item, left[random_.below(left.size())]);
        }
        text_ += grammar_.cell(item, memory_.row[item.index]);
      }
    }
  }

  const Grammar& grammar_;
  Random random_;
  Memory memory_;
  std::string text_;
};

// A deterministic recursive-descent parser: at every choice, the text starts with a beginning of at most one
// alternative.
class Listener {
 public:
  Listener(const Grammar& grammar, std::string_view text) : grammar_(grammar), rest_(text), memory_(grammar) {
    size_ = text.size();
  }

  double surprise() {
    expand(grammar_.choices[grammar_.story]);
    if (!rest_.empty()) stray();
    return nats_;
  }

 private:
  void expand(const Grammar::Choice& choice) {
    size_t chosen = 0;
    while (!begins_with_one_of(choice.starts[chosen])) {
      if (++chosen == choice.starts.size()) stray();
    }
    nats_ += std::log(static_cast<double>(choice.total_weight) / choice.weights[chosen]);
    for (const Item& item : choice.alternatives[chosen]) {
      if (item.kind == Kind::text) {
        take(item.text);
      } else if (item.kind == Kind::expand) {
        expand(grammar_.choices[item.index]);
      } else {
        if (item.kind == Kind::draw) draw(item);
        take(grammar_.cell(item, memory_.row[item.index]));
      }
    }
  }

  void draw(const Item& item) {
    std::vector<size_t> left = memory_.left(grammar_, item);
    nats_ += std::log(static_cast<double>(left.size()));
    for (size_t row : left) {
      if (rest_.starts_with(grammar_.cell(item, row))) return memory_.draw(grammar_, item, row);
    }
    stray();
  }

  bool begins_with_one_of(const std::vector<std::string>& starts) const {
    for (const std::string& start : starts) {
      if (rest_.starts_with(start)) return true;
    }
    return false;
  }

  void take(const std::string& text) {
    if (!rest_.starts_with(text)) stray();
    rest_.remove_prefix(text.size());
  }

  [[noreturn]] void stray() const {
    fail("tales: byte {}: found '{}', expected the continuation of a story", size_ - rest_.size(), rest_.substr(0, 24));
  }

  const Grammar& grammar_;
  std::string_view rest_;
  size_t size_;
  Memory memory_;
  double nats_ = 0;
};

// The part of a story's state on which the probabilities of its continuations depend: how many rows of each table are
// drawn, and which variables hold a row. Which rows these are does not matter: no choice depends on a row, so by
// symmetry a variable holds each row of its table with equal probability.
struct Progress {
  std::vector<size_t> drawn;
  std::vector<bool> bound;
  auto operator<=>(const Progress&) const = default;
};
using Paths = std::map<Progress, double>;  // probability of each Progress

class Expecter {
 public:
  explicit Expecter(const Grammar& grammar) : grammar_(grammar) {}

  Tales::Expectation expect() {
    Progress start{std::vector<size_t>(grammar_.tables.size()), std::vector<bool>(grammar_.variables.size())};
    expand(grammar_.choices[grammar_.story], {{start, 1.0}});
    return total_;
  }

 private:
  Paths expand(const Grammar::Choice& choice, const Paths& paths) {
    double reached = 0;
    for (const auto& [progress, probability] : paths) reached += probability;
    Paths after;
    for (size_t a = 0; a < choice.alternatives.size(); ++a) {
      double share = static_cast<double>(choice.weights[a]) / choice.total_weight;
      total_.nats -= reached * share * std::log(share);
      Paths taken = paths;
      for (auto& [progress, probability] : taken) probability *= share;
      for (const Item& item : choice.alternatives[a]) taken = follow(item, std::move(taken), reached * share, choice);
      for (const auto& [progress, probability] : taken) after[progress] += probability;
    }
    return after;
  }

  Paths follow(const Item& item, Paths paths, double reached, const Grammar::Choice& choice) {
    if (item.kind == Kind::expand) return expand(grammar_.choices[item.index], paths);
    if (item.kind == Kind::text) {
      total_.bytes += reached * static_cast<double>(item.text.size());
      return paths;
    }
    const Grammar::Table& table = grammar_.table_of(item);
    size_t bytes = 0;
    for (const std::vector<std::string>& row : table.rows) bytes += row[item.column].size();
    total_.bytes += reached * static_cast<double>(bytes) / static_cast<double>(table.rows.size());
    const std::string& variable = grammar_.variables[item.index].name;
    Paths after;
    for (const auto& [progress, probability] : paths) {
      Progress next = progress;
      if (item.kind == Kind::draw) {
        size_t& drawn = next.drawn[grammar_.variables[item.index].table];
        if (drawn == table.rows.size()) fail("grammar line {}: no row is left to draw for '{}'", choice.line, variable);
        total_.nats += probability * std::log(static_cast<double>(table.rows.size() - drawn));
        ++drawn;
        next.bound[item.index] = true;
      } else if (!next.bound[item.index]) {
        fail("grammar line {}: '{}' can be reached before it is drawn", choice.line, variable);
      }
      after[next] += probability;
    }
    return after;
  }

  const Grammar& grammar_;
  Tales::Expectation total_{0, 0};
};

}  // namespace

Tales::Tales(std::string_view grammar) : grammar_(read_grammar(grammar)), expectation_(Expecter(grammar_).expect()) {}

std::string Tales::story(uint64_t seed, uint64_t index) const { return Teller(grammar_, seed, index).tell(); }

double Tales::surprise(std::string_view story) const { return Listener(grammar_, story).surprise(); }

}  // namespace rowan

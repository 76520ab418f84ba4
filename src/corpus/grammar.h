// A probabilistic grammar with memory, in which the text tells the derivation. data/tales/grammar.txt explains the
// notation, src/corpus/tales.h what it is for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rowan {

struct Grammar {
  struct Table {
    std::string name;
    std::vector<std::string> columns;
    std::vector<std::vector<std::string>> rows;
  };
  // A variable always draws from the same table.
  struct Variable {
    std::string name;
    int table;
  };
  enum class Kind : uint8_t { text, expand, draw, recall };
  struct Item {
    Kind kind = Kind::text;
    std::string text;      // of Kind::text
    int index = 0;         // expand: the choice; draw and recall: the variable
    int column = 0;        // draw and recall
    bool capital = false;  // draw and recall
  };
  using Sequence = std::vector<Item>;
  // A rule, or an inline [a|b], which has no name.
  struct Choice {
    std::string name;
    int line = 0;
    std::vector<int> weights;
    std::vector<Sequence> alternatives;
    int total_weight = 0;
    // starts[a]: every text of alternative a begins with one of these, and no text of another alternative does.
    std::vector<std::vector<std::string>> starts;
  };

  std::vector<Table> tables;
  std::vector<Variable> variables;
  std::vector<Choice> choices;
  int story = 0;  // the choice that a story expands

  const Table& table_of(const Item& item) const { return tables[variables[item.index].table]; }
  // The text of a draw or recall when its variable holds `row`.
  std::string cell(const Item& item, size_t row) const;
};

// Throws Error with the line when the text is no grammar, is recursive, or has a choice that the text would not tell.
Grammar read_grammar(std::string_view text);

}  // namespace rowan

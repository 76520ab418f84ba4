// A probabilistic grammar with variables, in which every story has exactly one derivation. data/tales/grammar.txt
// explains the notation; src/corpus/tales.h explains the purpose.
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
    std::string text;      // the text, for Kind::text
    int index = 0;         // for Kind::expand, index in `choices`; for Kind::draw and Kind::recall, in `variables`
    int column = 0;        // for Kind::draw and Kind::recall: the column of the variable's table
    bool capital = false;  // for Kind::draw and Kind::recall: whether the text starts with a capital letter
  };
  using Sequence = std::vector<Item>;
  // A rule, or an inline choice [a|b], which has no name.
  struct Choice {
    std::string name;
    int line = 0;
    std::vector<int> weights;
    std::vector<Sequence> alternatives;
    int total_weight = 0;
    // Beginnings of the alternatives: every text of alternative i starts with one of starts[i], and no text of another
    // alternative starts with one of starts[i].
    std::vector<std::vector<std::string>> starts;
  };

  std::vector<Table> tables;
  std::vector<Variable> variables;
  std::vector<Choice> choices;
  int story = 0;  // index of the choice from which a story is derived

  const Table& table_of(const Item& item) const { return tables[variables[item.index].table]; }
  // The text of `item`, which is a Kind::draw or Kind::recall, when its variable holds row number `row`.
  std::string cell(const Item& item, size_t row) const;
};

// Throws Error if the text is not a grammar, if a rule contains itself, or if a story might not determine its
// derivation. A story might not determine it if a beginning of one alternative is a prefix of a beginning of another
// alternative, or if one of the texts that an item may draw is a prefix of another of these texts.
Grammar read_grammar(std::string_view text);

}  // namespace rowan

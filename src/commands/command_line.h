// The command line: options, positional arguments and subcommands, on top of CLI11. CLI11 is slow to compile, so only
// command_line.cpp includes it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

#include "base/names.h"

namespace rowan {

// One option or positional argument. Each method adds a constraint or changes the --help text.
class Argument {
 public:
  explicit Argument(CLI::Option& option) : option_(&option) {}

  Argument& required();
  // Shows the current value of the variable that was passed to add() as the default in --help.
  Argument& show_default();
  Argument& at_least(int64_t least);
  template <typename T>  // T is int, int64_t, uint64_t or double
  Argument& range(T least, T most);
  // Allows only these words. A word that an earlier version used is replaced by its current spelling first.
  Argument& one_of(const std::vector<std::string>& allowed);
  // Allows only the names of an enum's values.
  template <typename Enum>
  Argument& one_of() {
    return one_of(all_names<Enum>());
  }
  // `problem` returns a description of the error in the text, or "" if the text is valid.
  Argument& check(std::function<std::string(const std::string&)> problem);
  // Sets the number of values that a list option takes.
  Argument& takes(int values);
  // Takes one value per occurrence of the option. Without this call, a list option also takes the words that follow.
  Argument& one_at_a_time();
  // Allows an empty text, which is refused otherwise: usually a variable of the shell was not set.
  Argument& may_be_empty();
  // Sets the name of the value in --help.
  Argument& type_name(const std::string& name);

 private:
  CLI::Option* option_;
};

// A program, or one of its subcommands. The variables passed to add() must outlive parse().
class CommandLine {
 public:
  CommandLine(const std::string& program, const std::string& description);

  // `name` is "--name" for an option, or "name" for a positional argument. The text is parsed as the type of `value`.
  Argument add(const std::string& name, std::string& value, const std::string& help = "");
  Argument add(const std::string& name, int32_t& value, const std::string& help = "");
  Argument add(const std::string& name, int64_t& value, const std::string& help = "");
  Argument add(const std::string& name, uint64_t& value, const std::string& help = "");
  Argument add(const std::string& name, double& value, const std::string& help = "");
  Argument add(const std::string& name, std::vector<std::string>& values, const std::string& help = "");
  Argument add_flag(const std::string& name, bool& value, const std::string& help);
  void add_version(const std::string& text);

  CommandLine add_command(const std::string& name, const std::string& help);
  // Sets the function whose text is appended to the error about an unknown argument. If `hint` returns "", the error
  // names the nearest option, if there is one. `option` is the name of the unknown option, such as "lr" for --lr, or ""
  // if no option is unknown.
  void set_hint(std::function<std::string(const std::string& option)> hint);
  void require_command();
  // Sets the function that parse() runs if this command was chosen.
  void set_action(std::function<void()> action);

  // Parses the arguments after the program's name and runs the action of the chosen command. Prints the help or the
  // version if --help or --version asks for it. Throws Error for an invalid argument. Exceptions of the action pass
  // through.
  void parse(const std::vector<std::string>& words);

 private:
  using Hints = std::map<const CLI::App*, std::function<std::string(const std::string&)>>;

  CommandLine(std::shared_ptr<CLI::App> app, std::shared_ptr<Hints> hints)
      : app_(std::move(app)), hints_(std::move(hints)) {}
  std::string hint_on(const std::vector<std::string>& words) const;

  std::shared_ptr<CLI::App> app_;
  std::shared_ptr<Hints> hints_;  // shared by a program and its subcommands
};

}  // namespace rowan

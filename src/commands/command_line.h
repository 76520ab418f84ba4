// The command line of a program: options, operands and subcommands over CLI11. That library is slow to compile (nine
// seconds in every file that includes it), so only command_line.cpp does.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

#include "base/names.h"

namespace rowan {

// One option or operand. Each call adds to what it demands or to what --help says of it.
class Argument {
 public:
  explicit Argument(CLI::Option& option) : option_(&option) {}

  Argument& required();
  // --help shows the value that the variable has now.
  Argument& show_default();
  Argument& at_least(int64_t least);
  template <typename T>  // int, int64_t, uint64_t or double
  Argument& range(T least, T most);
  Argument& one_of(const std::vector<std::string>& allowed);
  // One of an enum's spellings.
  template <typename Enum>
  Argument& one_of() {
    return one_of(all_names<Enum>());
  }
  // `problem` returns what is wrong with the text, or "".
  Argument& check(std::function<std::string(const std::string&)> problem);
  // The number of values that a list takes.
  Argument& takes(int values);
  // Each occurrence of a list's option takes one value; the next word is not the option's.
  Argument& one_at_a_time();
  // What --help calls the value.
  Argument& type_name(const std::string& name);

 private:
  CLI::Option* option_;
};

// A program, or one of its subcommands. Variables must live until parse() returns.
class CommandLine {
 public:
  CommandLine(const std::string& program, const std::string& description);

  // "--name" for an option; without dashes an operand. The value is read as the variable's type.
  Argument add(const std::string& name, std::string& value, const std::string& help = "");
  Argument add(const std::string& name, int32_t& value, const std::string& help = "");
  Argument add(const std::string& name, int64_t& value, const std::string& help = "");
  Argument add(const std::string& name, uint64_t& value, const std::string& help = "");
  Argument add(const std::string& name, double& value, const std::string& help = "");
  Argument add(const std::string& name, std::vector<std::string>& values, const std::string& help = "");
  Argument add_flag(const std::string& name, bool& value, const std::string& help);
  void add_version(const std::string& text);

  CommandLine add_command(const std::string& name, const std::string& help);
  // One of the subcommands must be given.
  void require_command();
  // What parse() runs when this command was chosen.
  void set_action(std::function<void()> action);

  // Reads the words behind the program's name and runs the chosen action; prints what --help and --version ask for.
  // Throws Error for what it does not understand, naming the nearest command, and whatever the action throws.
  void parse(const std::vector<std::string>& words);

 private:
  explicit CommandLine(std::shared_ptr<CLI::App> app) : app_(std::move(app)) {}

  std::shared_ptr<CLI::App> app_;
};

}  // namespace rowan

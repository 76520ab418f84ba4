// README's table of commands agrees with --help. The lines of --help fit into 80 columns.
#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "base/console.h"
#include "command.h"
#include "commands/commands.h"
#include "paths.h"

namespace rowan {
namespace {

class CommandTable : public CommandTest {};

std::vector<std::string> all_matches(const std::string& text, const std::string& pattern) {
  const std::regex expression(pattern);
  std::vector<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), expression), end; it != end; ++it) found.push_back((*it)[1]);
  return found;
}

std::string joined_lines(const std::string& text) { return std::regex_replace(text, std::regex("\\s+"), " "); }

// README's table has one row for each command. The --help of a command has the options that the row names. The --help
// of `bench` has the benchmarks of its row and no others.
TEST_F(CommandTable, ReadmeListsWhatHelpLists) {
  const std::string readme = read_file(source_path("README.md")), help = joined_lines(rowan("--help").out);
  std::set<std::string> listed, known;
  for (const Command& command : commands()) {
    known.insert(command.name);
    EXPECT_NE(help.find(command.help), std::string::npos) << command.name;
  }
  for (const std::string& row : all_matches(readme, "\n\\| `rowan ([^|]*) \\|")) {
    const std::string name = row.substr(0, row.find_first_of(" `"));
    EXPECT_TRUE(listed.insert(name).second) << "two rows for " << name;
    std::string path = name;
    std::smatch part;  // the row of a command with subcommands names one subcommand
    if (name != "bench" && std::regex_search(row, part, std::regex("^[a-z]+ ([a-z]+) "))) path += " " + part.str(1);
    const Outcome shown = rowan(path + " --help");
    EXPECT_EQ(shown.code, 0) << shown.err;
    for (const std::string& option : all_matches(row, "(--[a-z-]+)"))
      EXPECT_TRUE(std::regex_search(shown.out, std::regex("\n  " + option + "[ \n]"))) << name << " " << option;
    if (name != "bench") continue;
    std::set<std::string> benches;
    for (const std::string& bench : all_matches(row.substr(0, row.find('`')), "[ ,]([a-z]+)")) benches.insert(bench);
    std::set<std::string> parts;
    for (const std::string& part : all_matches(shown.out.substr(shown.out.find("Subcommands:")), "\n  ([a-z]+) "))
      parts.insert(part);
    EXPECT_EQ(benches, parts);
  }
  EXPECT_EQ(listed, known);
}

TEST_F(CommandTable, HelpFitsEightyColumns) {
  for (const Command& command : commands()) {
    std::istringstream help(rowan(std::string(command.name) + " --help").out);
    for (std::string line; std::getline(help, line);) EXPECT_LE(columns_of(line), 80u) << command.name << ": " << line;
  }
}

}  // namespace
}  // namespace rowan

#include "commands/command_line.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <limits>
#include <sstream>
#include <type_traits>

#include "base/console.h"
#include "base/error.h"
#include "base/names.h"

namespace rowan {

Argument& Argument::required() {
  option_->required();
  return *this;
}

Argument& Argument::show_default() {
  option_->capture_default_str();
  return *this;
}

namespace {

// Parses `text` as a T. Returns "" or a description of the error. Does not parse integers with CLI11 2.1, which accepts
// -1 as the largest uint64_t, clamps numbers beyond 64 bits, and reads 010 as octal.
template <typename T>
std::string read_number(const std::string& text, T& value) {
  if constexpr (std::is_integral_v<T>) {
    const std::string digits = text.substr(text.starts_with('-'));
    if (digits.empty() || digits.find_first_not_of("0123456789") != std::string::npos ||
        (digits.size() > 1 && digits[0] == '0'))
      return fmt::format("found '{}', expected an integer", text);
    const char* end = text.data() + text.size();
    if (const auto [to, error] = std::from_chars(text.data(), end, value); error == std::errc() && to == end) return "";
    return fmt::format("found {}, expected {} to {}", text, std::numeric_limits<T>::min(),
                       std::numeric_limits<T>::max());
  } else {
    return CLI::detail::lexical_cast(text, value) ? "" : fmt::format("found '{}', expected a number", text);
  }
}

// Adds an option or argument of one or several texts.
template <typename T>
Argument add_text(CLI::App& app, const std::string& name, T& value, const std::string& help) {
  CLI::Option* option = app.add_option(name, value, help);
  auto problem = [](std::string& text) { return text.empty() ? "found an empty text" : std::string(); };
  option->check(CLI::Validator(problem, "", "not empty"));
  return Argument(*option);
}

template <typename T>
Argument add_number(CLI::App& app, const std::string& name, T& value, const std::string& help) {
  CLI::Option* option = app.add_option(name, value, help);
  auto problem = [](std::string& text) {
    T unused{};
    return read_number(text, unused);
  };
  option->check(CLI::Validator(problem, ""));
  return Argument(*option);
}

}  // namespace

Argument& Argument::at_least(int64_t least) {
  auto problem = [least](std::string& text) -> std::string {
    int64_t value = 0;
    if (std::string wrong = read_number(text, value); !wrong.empty()) return wrong;
    return value < least ? fmt::format("found {}, expected at least {}", value, least) : "";
  };
  option_->check(CLI::Validator(problem, fmt::format(">= {}", least)));
  return *this;
}

template <typename T>
Argument& Argument::range(T least, T most) {
  auto problem = [least, most](std::string& text) -> std::string {
    T value{};
    read_number(text, value);                             // succeeds: add_number() has checked the text
    const bool inside = value >= least && value <= most;  // false for NaN
    return inside ? "" : fmt::format("found {}, expected {} to {}", text, least, most);
  };
  option_->check(CLI::Validator(problem, fmt::format("in [{} - {}]", least, most)));
  return *this;
}
template Argument& Argument::range(int, int);
template Argument& Argument::range(int64_t, int64_t);
template Argument& Argument::range(uint64_t, uint64_t);
template Argument& Argument::range(double, double);

Argument& Argument::one_of(const std::vector<std::string>& allowed) {
  auto respell = [](std::string& text) { return text = std::string(current_spelling(text)), std::string(); };
  option_->transform(CLI::Validator(respell, ""))->check(CLI::IsMember(allowed));
  return *this;
}

Argument& Argument::check(std::function<std::string(const std::string&)> problem) {
  option_->check(std::move(problem));
  return *this;
}

Argument& Argument::takes(int values) {
  option_->expected(values);
  return *this;
}

Argument& Argument::one_at_a_time() {
  option_->allow_extra_args(false);
  return *this;
}

Argument& Argument::may_be_empty() {
  option_->get_validator("not empty")->active(false);
  return *this;
}

Argument& Argument::type_name(const std::string& name) {
  option_->type_name(name);
  return *this;
}

CommandLine::CommandLine(const std::string& program, const std::string& description)
    : app_(std::make_shared<CLI::App>(description, program)), hints_(std::make_shared<Hints>()) {}

Argument CommandLine::add(const std::string& name, std::string& value, const std::string& help) {
  return add_text(*app_, name, value, help);
}

Argument CommandLine::add(const std::string& name, int32_t& value, const std::string& help) {
  return add_number(*app_, name, value, help);
}

Argument CommandLine::add(const std::string& name, int64_t& value, const std::string& help) {
  return add_number(*app_, name, value, help);
}

Argument CommandLine::add(const std::string& name, uint64_t& value, const std::string& help) {
  return add_number(*app_, name, value, help);
}

Argument CommandLine::add(const std::string& name, double& value, const std::string& help) {
  return add_number(*app_, name, value, help);
}

Argument CommandLine::add(const std::string& name, std::vector<std::string>& values, const std::string& help) {
  return add_text(*app_, name, values, help);
}

Argument CommandLine::add_flag(const std::string& name, bool& value, const std::string& help) {
  return Argument(*app_->add_flag(name, value, help));
}

void CommandLine::add_version(const std::string& text) {
  app_->set_version_flag("--version", text, "Print the version and exit");
}

CommandLine CommandLine::add_command(const std::string& name, const std::string& help) {
  return CommandLine(std::shared_ptr<CLI::App>(app_, app_->add_subcommand(name, help)), hints_);
}

void CommandLine::set_hint(std::function<std::string(const std::string& option)> hint) {
  (*hints_)[app_.get()] = std::move(hint);
}

void CommandLine::require_command() { app_->require_subcommand(1); }

void CommandLine::set_action(std::function<void()> action) { app_->callback(std::move(action)); }

namespace {

// CLI11 reports a misspelled command only as "A subcommand is required". This check names the word and the allowed
// commands.
void check_commands(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* at = &app;
  for (const std::string& word : words) {
    if (word.starts_with('-')) return;
    const CLI::App* chosen = nullptr;
    std::vector<std::string> names;
    for (const CLI::App* command : at->get_subcommands([](const CLI::App*) { return true; })) {
      names.push_back(command->get_name());
      if (names.back() == word) chosen = command;
    }
    if (names.empty()) return;
    if (!chosen) fail("unknown command '{}'{} (allowed: {})", word, did_you_mean(word, names), join(names));
    at = chosen;
  }
}

// Breaks the lines of a help text to fit the terminal, or to 80 columns if the terminal's width is unknown. CLI11
// begins the descriptions of options at column 30.
std::string fitted(const std::string& help) {
  const size_t columns = terminal_columns(stdout);
  std::istringstream lines(help);
  std::string text;
  for (std::string line; std::getline(lines, line);)
    text += wrapped(line, columns ? columns : 80, line.starts_with(' ') ? 30 : 2) + "\n";
  return text;
}

}  // namespace

// The text to append to the error about unknown arguments: the hint of the function given to set_hint(), else the
// option name nearest to the first unknown option in `words`; "" if there is neither.
std::string CommandLine::hint_on(const std::vector<std::string>& words) const {
  const CLI::App* command = app_.get();
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  std::vector<std::string> names;
  for (const CLI::Option* option : command->get_options())
    for (const std::string& name : option->get_lnames()) names.push_back(name);
  std::string unknown;
  for (const std::string& word : words)
    if (unknown.empty() && word.starts_with("--")) {
      const std::string name = word.substr(2, word.find('=') - 2);
      if (std::find(names.begin(), names.end(), name) == names.end()) unknown = name;
    }
  if (const auto own = hints_->find(command); own != hints_->end())
    if (const std::string hint = own->second(unknown); !hint.empty()) return hint;
  const std::string meant = unknown.empty() ? "" : nearest(unknown, names);
  return meant.empty() ? "" : fmt::format("; did you mean --{}?", meant);
}

void CommandLine::parse(const std::vector<std::string>& words) {
  check_commands(*app_, words);
  try {
    app_->parse(std::vector<std::string>(words.rbegin(), words.rend()));  // CLI11 expects the words in reverse order
  } catch (const CLI::Success& done) {
    std::ostringstream text;
    app_->exit(done, text, text);
    fmt::print("{}", fitted(text.str()));
  } catch (const CLI::ExtrasError& error) {
    fail("{}{}; try --help", error.what(), hint_on(words));
  } catch (const CLI::ParseError& error) {
    fail("{}; try --help", error.what());
  }
}

}  // namespace rowan

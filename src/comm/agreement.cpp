#include "comm/agreement.h"

#include <algorithm>

#include "base/files.h"
#include "base/json.h"
#include "comm/communicator.h"

namespace rowan {

void run_on_all_ranks(Communicator& communicator, const std::function<void()>& work) {
  std::string message;
  try {
    work();
  } catch (const AgreedError&) {
    throw;
  } catch (const std::exception& error) {
    message = message_of(error);
    if (message.empty()) message = "failed";
  }
  std::vector<std::string> messages;
  try {
    messages = communicator.gather(message);
  } catch (const Error&) {
    if (message.empty()) throw;
    fail("{}", message);  // a GPU that failed in `work` fails in the message too
  }
  for (int rank = 0; rank < communicator.size(); ++rank) {
    if (messages[rank].empty()) continue;
    bool alike = true;
    for (const std::string& other : messages) alike = alike && other == messages[rank];
    throw AgreedError(alike ? messages[rank] : fmt::format("rank {}: {}", rank, messages[rank]));
  }
}

void check_same(Communicator& communicator, const std::string& what, const Json& mine) {
  const std::vector<std::string> values = communicator.gather(mine.dump());
  auto alike = [&](const std::string& value) { return std::count(values.begin(), values.end(), value); };
  // The lowest rank that has the most frequent value. Among equally frequent values, the value of the lowest rank
  // counts.
  const size_t usual = std::max_element(values.begin(), values.end(),
                                        [&](const auto& a, const auto& b) { return alike(a) < alike(b); }) -
                       values.begin();
  for (size_t rank = 0; rank < values.size(); ++rank) {
    if (values[rank] == values[usual]) continue;
    const Json theirs = try_parse_json(values[rank]), others = try_parse_json(values[usual]);
    const Json differences = Json::diff(others, theirs);
    if (differences.empty()) continue;  // 1 and 1.0 differ as text, but are the same value
    std::string path = differences[0]["path"].get<std::string>();
    // A path that ends in "/-" stands for an element appended to a list. The message then shows both whole lists.
    if (path.ends_with("/-")) path.resize(path.size() - 2);
    const Json::json_pointer place(path);
    auto text = [&](const Json& from) { return from.contains(place) ? from[place].dump() : "missing"; };
    throw AgreedError(fmt::format("rank {} differs from rank {}{}: {}{} is {}, not {}; all ranks need the same", rank,
                                  usual, alike(values[usual]) > 1 ? " and others" : "", what, path, text(theirs),
                                  text(others)));
  }
}

}  // namespace rowan

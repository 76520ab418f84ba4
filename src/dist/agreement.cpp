#include "dist/agreement.h"

namespace rowan {

void together(Communicator& communicator, const std::function<void()>& work) {
  std::string message;
  try {
    work();
  } catch (const AgreedError&) {
    throw;
  } catch (const Error& error) {
    message = error.what();
    if (message.empty()) message = "failed";
  }
  std::vector<std::string> messages = communicator.gather(message);
  for (int rank = 0; rank < communicator.size(); ++rank) {
    if (messages[rank].empty()) continue;
    bool alike = true;
    for (const std::string& other : messages) alike = alike && other == messages[rank];
    throw AgreedError(alike ? messages[rank] : fmt::format("rank {}: {}", rank, messages[rank]));
  }
}

void check_same(Communicator& communicator, const std::string& what, const std::string& value) {
  std::vector<std::string> values = communicator.gather(value);
  for (int rank = 1; rank < communicator.size(); ++rank) {
    if (values[rank] == values[0]) continue;
    throw AgreedError(fmt::format("{} of rank {} is {}, that of rank 0 is {}; all ranks need the same", what, rank,
                                  values[rank], values[0]));
  }
}

}  // namespace rowan

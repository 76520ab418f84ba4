// Agreement between ranks: a failure on one rank becomes the same failure on all, and values that must be equal
// everywhere are compared.
#pragma once

#include <functional>
#include <string>

#include "base/error.h"
#include "base/json_fwd.h"

namespace rowan {

class Communicator;

// An Error that every rank throws. Rank 0 prints it, and all ranks exit with code 2. With several ranks, any other
// Error belongs to one rank, which prints it and calls Communicator::abort(2).
class AgreedError : public Error {
 public:
  using Error::Error;
};

// Throws AgreedError for a mistake that every rank detects by itself, such as one in the build or in the environment.
template <typename... Args>
[[noreturn]] void fail_on_all(fmt::format_string<Args...> format, Args&&... args) {
  throw AgreedError(fmt::format(format, std::forward<Args>(args)...));
}

// Runs `work` on every rank. If it throws Error or std::system_error on some ranks, all ranks throw AgreedError with
// the message of the lowest of these ranks. The message names that rank, unless all ranks failed with the same message.
// An AgreedError passes through unchanged; `work` must throw it on all ranks.
void run_on_all_ranks(Communicator& communicator, const std::function<void()>& work);

// Throws AgreedError when `mine` differs between ranks. The message names the lowest rank outside the largest group of
// equal values, and the first place where its value differs from the group's, with both values. `what` precedes the
// place in the message, as in "config ".
void check_same(Communicator& communicator, const std::string& what, const Json& mine);

}  // namespace rowan

// Agreement between ranks: a failure on one rank becomes the same failure on all, and values that must be equal
// everywhere are compared.
#pragma once

#include <functional>
#include <string>

#include "base/error.h"
#include "base/json_fwd.h"

namespace rowan {

class Communicator;

// An Error that every rank throws. Rank 0 prints it, and all ranks exit with code 2. If there are several ranks, a rank
// that throws any other exception prints its message itself and calls Communicator::abort(2).
class AgreedError : public Error {
 public:
  using Error::Error;
};

// Throws AgreedError. For mistakes that every rank detects by itself. What a mistake follows from must be the same on
// all ranks (check_same()), since ranks have environments of their own; before there is a communicator it need not be.
template <typename... Args>
[[noreturn]] void fail_on_all(fmt::format_string<Args...> format, Args&&... args) {
  throw AgreedError(fmt::format(format, std::forward<Args>(args)...));
}

// Runs `work` on every rank. If `work` throws a std::exception on some ranks, all ranks throw AgreedError with the
// message of the lowest of these ranks. The message names this rank, unless all ranks failed with the same message.
// An AgreedError passes through unchanged; `work` must throw it on all ranks.
void run_on_all_ranks(Communicator& communicator, const std::function<void()>& work);

// Throws AgreedError when `mine` differs between ranks. The most frequent value is taken as the expected one. The
// message names the lowest rank with another value, the first place where this value differs from the expected one, and
// what both values have at this place. `what` is printed before the place, for example "config ".
void check_same(Communicator& communicator, const std::string& what, const Json& mine);

}  // namespace rowan

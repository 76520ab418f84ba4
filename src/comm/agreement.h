// Decisions ranks take together: a failure on one rank becomes the same failure on all, and what has to be equal
// everywhere is compared.
#pragma once

#include <functional>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "comm/communicator.h"

namespace rowan {

// An Error that every rank has thrown: rank 0 prints it, all exit with code 2. Any other Error is one rank's own, which
// prints it and calls Communicator::abort(2).
class AgreedError : public Error {
 public:
  using Error::Error;
};

// Throws AgreedError for what every rank finds alike: the build, the environment of the launch.
template <typename... Args>
[[noreturn]] void fail_on_all(fmt::format_string<Args...> format, Args&&... args) {
  throw AgreedError(fmt::format(format, std::forward<Args>(args)...));
}

// Runs `work` on every rank. When it throws Error on some, all throw AgreedError with the message of the first of them,
// which is named unless all failed alike.
void run_on_all_ranks(Communicator& communicator, const std::function<void()>& work);

// Throws AgreedError when `mine` is not the same everywhere. It names the rank that is not like most others, `what` it
// is ("config"), and the first place that differs with both values.
void check_same(Communicator& communicator, const std::string& what, const Json& mine);

}  // namespace rowan

// Decisions ranks take together: a failure on one rank becomes the same failure on all, and what has to be equal
// everywhere is compared.
#pragma once

#include <functional>
#include <string>

#include "base/error.h"
#include "dist/communicator.h"

namespace rowan {

// An Error that every rank has thrown: rank 0 prints it, all exit with code 2. Any other Error is one rank's own, which
// prints it and calls Communicator::abort(2).
class AgreedError : public Error {
 public:
  using Error::Error;
};

// Runs `work` on every rank. When it throws Error on some, all throw AgreedError with the message of the first of them,
// which is named unless all failed alike.
void together(Communicator& communicator, const std::function<void()>& work);

// Throws AgreedError naming the first rank whose `value` differs from rank 0's, and `what` it is ("the config").
void check_same(Communicator& communicator, const std::string& what, const std::string& value);

}  // namespace rowan

#include "train/timed_products.h"

#include "base/files.h"
#include "base/json.h"
#include "comm/agreement.h"
#include "comm/communicator.h"
#include "kernels/backend.h"

namespace rowan {

TimedProducts::TimedProducts(Backend& backend, Communicator& communicator, const std::filesystem::path& file)
    : backend_(backend), communicator_(communicator), file_(file) {
  if (communicator.size() == 1) {
    backend.time_products(file.string());
    return;
  }
  run_on_all_ranks(communicator, [&] { noting_ = backend.note_products(file.string()); });
  check_same(communicator, "products timed: ", Json::parse(backend.noted_products()));
}

void TimedProducts::after_step() {
  if (!noting_) return;
  noting_ = false;
  Json choices;
  for (const std::string& text : communicator_.gather(backend_.noted_products())) {
    const Json of_rank = Json::parse(text);
    if (choices.empty()) choices = of_rank;
    // insert() leaves the choices of lower ranks.
    choices["products"].insert(of_rank["products"].begin(), of_rank["products"].end());
  }
  run_on_all_ranks(communicator_, [&] {
    const std::string text = choices.dump(1) + "\n";
    backend_.use_products(text);
    if (communicator_.rank() == 0) write_file_atomically(file_, text);
  });
}

}  // namespace rowan

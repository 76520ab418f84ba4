#include "model/memory_check.h"

#include "base/error.h"
#include "base/human.h"
#include "base/memory.h"
#include "kernels/dry/dry_backend.h"

namespace rowan {

void check_model_fits(const Backend& backend, const ModelConfig& config, const ModelOptions& options,
                      const std::string& remedy) {
  if (!backend.host_memory()) return;
  auto dry = make_dry_backend();
  const Model model(*dry, config, options);
  if (const size_t needed = dry->bytes(), available = available_memory(); needed > available)
    fail("out of memory: found {1} free, expected {0} for the model; {2}", human_bytes(static_cast<double>(needed)),
         human_bytes(static_cast<double>(available)), remedy);
}

}  // namespace rowan

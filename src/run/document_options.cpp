#include "run/document_options.h"

namespace rowan {

std::optional<DocumentOptions> document_options(const DataConfig& data, int32_t end_token) {
  if (!data.documents) return {};
  return DocumentOptions{{end_token, data.documents->end_token == EndToken::first},
                         data.documents->positions == DocumentPositions::restart};
}

}  // namespace rowan

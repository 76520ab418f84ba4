// The model options that follow from a run's data.documents.
#pragma once

#include <cstdint>
#include <optional>

#include "data/data_config.h"
#include "model/model.h"

namespace rowan {

// `end_token` is the token between documents. Returns nothing if data.documents is absent; attention then spans the
// row.
std::optional<DocumentOptions> document_options(const DataConfig& data, int32_t end_token);

}  // namespace rowan

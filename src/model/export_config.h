// The config.json of an exported model.
#pragma once

#include "base/json_fwd.h"

namespace rowan {

struct ModelConfig;

// A config.json that Hugging Face transformers can open. It has no dtype, because the weights may be written in
// another one than those of a published config, and no token ids outside the vocabulary, which a published config may
// name for another tokenizer. Throws Error naming the key if the model has a feature that the LLaMA, Qwen3 and GPT-2 of
// transformers lack.
Json hugging_face_config(const ModelConfig& config);

}  // namespace rowan

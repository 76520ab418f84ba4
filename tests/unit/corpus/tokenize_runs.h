// Runs tokenize() and reads the files that tokenize() leaves in a folder.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "corpus/tokenize_job.h"

namespace rowan {

inline TokenizeResult run(TokenizeOptions options, const std::string& tokenizer = "bytes") {
  return tokenize(options, *make_tokenizer(tokenizer), [](const TokenizeProgress&) {});
}

inline TokenizeOptions options_for(std::vector<std::string> inputs, const std::string& out) {
  TokenizeOptions options;
  options.inputs = std::move(inputs);
  options.out = out;
  return options;
}

inline std::string message(const TokenizeOptions& options) {
  try {
    run(options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// Name and content of every file in a folder.
inline std::map<std::string, std::string> contents(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    files[entry.path().filename()] = read_file(entry.path());
  return files;
}

}  // namespace rowan

#include "kernels/cuda/product_choices.h"

#include <fmt/core.h>

#include <filesystem>
#include <memory>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"

namespace rowan::cuda {
namespace {

constexpr size_t words = sizeof(cublasLtMatmulAlgo_t) / sizeof(uint64_t);
static_assert(sizeof(cublasLtMatmulAlgo_t) == words * sizeof(uint64_t));

constexpr const char* apart = "apart";

// The algorithm's opaque words in hexadecimal, or "apart".
std::string text_of(const ProductChoice& choice) {
  if (choice.apart) return apart;
  std::string text;
  for (uint64_t word : choice.algorithm.data) text += fmt::format("{:016x}", word);
  return text;
}

bool parse(ProductChoice& choice, const std::string& text) {
  choice = {text == apart, {}};
  if (choice.apart) return true;
  if (text.size() != 16 * words || text.find_first_not_of("0123456789abcdef") != std::string::npos) return false;
  for (size_t i = 0; i < words; ++i) choice.algorithm.data[i] = std::stoull(text.substr(16 * i, 16), nullptr, 16);
  return true;
}

}  // namespace

ProductChoices::ProductChoices(const std::string& file, const std::string& device) : file_(file), device_(device) {
  if (std::filesystem::exists(file)) read(file, read_file(file));
}

void ProductChoices::read(const std::string& source_name, const std::string& source_text) {
  auto source = std::make_shared<JsonSource>(JsonSource{source_name, source_text});
  const Json json = parse_json(*source);
  JsonObject root(source, json);
  if (root.string("device") != device_) return;
  JsonObject choices = root.object("products", true);
  for (const std::string& product : choices.keys()) {
    const std::string text = choices.string(product);
    if (!parse(choices_[product], text))
      choices.fail(product,
                   fmt::format("found '{}', expected {} hexadecimal digits or \"{}\"", text, 16 * words, apart));
  }
  root.finish();
}

const ProductChoice* ProductChoices::find(const std::string& product) const {
  auto found = choices_.find(product);
  return found == choices_.end() ? nullptr : &found->second;
}

void ProductChoices::save() const {
  if (std::filesystem::is_directory(std::filesystem::absolute(file_).parent_path()))
    write_file_atomically(file_, text());
}

std::string ProductChoices::text() const {
  Json products = Json::object();
  for (const auto& [name, choice] : choices_) products[name] = text_of(choice);
  return Json{{"device", device_}, {"products", products}}.dump(1) + "\n";
}

}  // namespace rowan::cuda

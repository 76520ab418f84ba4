#include "base/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/error.h"
#include "base/json.h"
#include "base/names.h"

namespace rowan {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

const std::pair<const char*, size_t> element_types[] = {
    {"BOOL", 1}, {"U8", 1},  {"I8", 1},   {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"U16", 2},
    {"I16", 2},  {"F16", 2}, {"BF16", 2}, {"U32", 4},     {"I32", 4},     {"F32", 4},
    {"U64", 8},  {"I64", 8}, {"F64", 8},  {"C64", 8},     {"F8_E8M0", 1}};

// The limit of the format's reference implementation.
constexpr uint64_t max_header_bytes = 100'000'000;

// The list of non-negative integers at `key`. Throws Error if `key` is absent or its value is anything else.
std::vector<int64_t> counts(const Json& tensor, const char* key) {
  if (!tensor.contains(key) || !tensor[key].is_array()) fail("found no list '{}'", key);
  std::vector<int64_t> result;
  for (const Json& item : tensor[key]) {
    if (!item.is_number_unsigned() || item.get<uint64_t>() > INT64_MAX)
      fail("'{}': found {}, expected a count", key, item.dump());
    result.push_back(item.get<int64_t>());
  }
  return result;
}

float half_to_float(uint16_t half) {
  uint32_t sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31, mantissa = half & 1023;
  if (exponent == 0) {
    float value = static_cast<float>(mantissa) / 16777216.0f;
    return sign ? -value : value;
  }
  uint32_t bits = sign | (exponent == 31 ? 255 : exponent + 112) << 23 | mantissa << 13;
  return std::bit_cast<float>(bits);
}

template <typename From, typename Convert>
void convert_all(const StoredTensor& tensor, float* out, Convert convert) {
  for (int64_t i = 0, n = tensor.numel(); i < n; ++i) {
    From value;
    std::memcpy(&value, tensor.data + i * sizeof value, sizeof value);
    out[i] = convert(value);
  }
}

}  // namespace

size_t safetensors_element_bytes(std::string_view dtype) {
  for (auto [name, bytes] : element_types)
    if (dtype == name) return bytes;
  return 0;
}

const char* safetensors_dtype(DType dtype) {
  return dtype == DType::f32 ? "F32" : dtype == DType::bf16 ? "BF16" : "I32";
}

int64_t TensorInfo::numel() const {
  int64_t result = 1;
  for (int64_t dim : shape)
    if (dim < 0 || __builtin_mul_overflow(result, dim, &result)) fail("{}: the shape has too many elements", name);
  return result;
}

size_t TensorInfo::bytes() const {
  size_t element = safetensors_element_bytes(dtype);
  if (element == 0) fail("found the unknown dtype '{}'", dtype);
  int64_t result;
  if (__builtin_mul_overflow(numel(), static_cast<int64_t>(element), &result))
    fail("{}: the shape has too many elements", name);
  return static_cast<size_t>(result);
}

std::string TensorInfo::describe() const { return fmt::format("{}[{}]", dtype, fmt::join(shape, ", ")); }

SafeTensors::SafeTensors(const std::filesystem::path& path) : path_(path), file_(path) {
  const std::string where = path.string();
  uint64_t json_bytes = 0;
  if (file_.size() < sizeof json_bytes)
    fail("{}: truncated: found {} bytes, expected at least {}", where, file_.size(), sizeof json_bytes);
  std::memcpy(&json_bytes, file_.data(), sizeof json_bytes);
  if (json_bytes > max_header_bytes) fail("{}: not a safetensors file: found a header of {} bytes", where, json_bytes);
  if (json_bytes > file_.size() - sizeof json_bytes)
    fail("{}: truncated: found {} bytes, expected at least {}, where the header ends", where, file_.size(),
         json_bytes + 8);
  header_bytes_ = sizeof json_bytes + json_bytes;
  const uint64_t data_bytes = file_.size() - header_bytes_;

  Json header = parse_json({where + " (header)", std::string(file_.text().substr(8, json_bytes))});
  if (!header.is_object()) fail("{}: the header is not a JSON object", where);
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") {
      if (value.is_null()) continue;
      if (!value.is_object()) fail("{}: __metadata__ is not an object", where);
      for (const auto& [key, text] : value.items()) {
        if (!text.is_string()) fail("{}: __metadata__: found no string at '{}'", where, key);
        metadata_[key] = text.get<std::string>();
      }
      continue;
    }
    try {
      if (!value.is_object()) fail("found a description that is not an object");
      if (!value.contains("dtype") || !value["dtype"].is_string()) fail("found no dtype");
      StoredTensor tensor;
      tensor.name = name;
      tensor.dtype = value["dtype"].get<std::string>();
      tensor.shape = counts(value, "shape");
      std::vector<int64_t> range = counts(value, "data_offsets");
      if (range.size() != 2 || range[0] > range[1]) fail("data_offsets: expected [begin, end]");
      uint64_t begin = static_cast<uint64_t>(range[0]), end = static_cast<uint64_t>(range[1]);
      if (end > data_bytes) fail("found bytes up to {}, expected at most {}, the end of the file", end, data_bytes);
      if (end - begin != tensor.bytes())
        fail("data_offsets: found {2} bytes, expected {1} for {0}", tensor.describe(), tensor.bytes(), end - begin);
      tensor.data = file_.data() + header_bytes_ + begin;
      tensors_.push_back(std::move(tensor));
    } catch (const Error& error) {
      fail("{}: tensor '{}': {}", where, name, error.what());
    }
  }
  std::sort(tensors_.begin(), tensors_.end(), [](const StoredTensor& a, const StoredTensor& b) {
    return std::pair(a.data, a.data + a.bytes()) < std::pair(b.data, b.data + b.bytes());
  });
  const std::byte* end = file_.data() + header_bytes_;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const StoredTensor& tensor = tensors_[i];
    if (tensor.data != end)
      fail("{}: tensor '{}' {} the tensor before it", where, tensor.name,
           tensor.data < end ? "overlaps" : "leaves a gap after");
    end += tensor.bytes();
    by_name_[tensor.name] = i;
  }
  if (end != file_.data() + file_.size())
    fail("{}: found {} bytes after the last tensor", where, file_.data() + file_.size() - end);
}

std::vector<std::string> SafeTensors::names() const {
  std::vector<std::string> result;
  for (const StoredTensor& tensor : tensors_) result.push_back(tensor.name);
  return result;
}

const StoredTensor& SafeTensors::find(const std::string& name) const {
  auto found = by_name_.find(name);
  if (found == by_name_.end()) fail("{}: no tensor '{}'{}", path_.string(), name, did_you_mean(name, names()));
  return tensors_[found->second];
}

void read_floats(const StoredTensor& tensor, float* out) {
  if (tensor.dtype == "F32") {
    if (tensor.bytes() > 0) std::memcpy(out, tensor.data, tensor.bytes());
  } else if (tensor.dtype == "BF16") {
    convert_all<bf16>(tensor, out, [](bf16 x) { return to_float(x); });
  } else if (tensor.dtype == "F16") {
    convert_all<uint16_t>(tensor, out, half_to_float);
  } else if (tensor.dtype == "F64") {
    convert_all<double>(tensor, out, [](double x) { return static_cast<float>(x); });
  } else {
    fail("tensor '{}': found {}, expected F32, F64, F16 or BF16", tensor.name, tensor.describe());
  }
}

std::vector<float> read_floats(const StoredTensor& tensor) {
  std::vector<float> result(static_cast<size_t>(tensor.numel()));
  read_floats(tensor, result.data());
  return result;
}

void read_values(const StoredTensor& tensor, DType dtype, void* out) {
  if (tensor.dtype == safetensors_dtype(dtype)) {
    if (tensor.bytes() > 0) std::memcpy(out, tensor.data, tensor.bytes());
  } else if (dtype == DType::f32) {
    read_floats(tensor, static_cast<float*>(out));
  } else if (dtype == DType::bf16) {
    std::vector<float> values = read_floats(tensor);
    std::transform(values.begin(), values.end(), static_cast<bf16*>(out), to_bf16);
  } else {
    fail("tensor '{}': found {}, expected I32", tensor.name, tensor.describe());
  }
}

SafeTensorsWriter::SafeTensorsWriter(const std::filesystem::path& path, std::vector<TensorInfo> tensors,
                                     const std::map<std::string, std::string>& metadata)
    : file_(path), path_(path) {
  // Tensors with wide elements come first, so that every tensor is aligned to its element size.
  std::stable_sort(tensors.begin(), tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return safetensors_element_bytes(a.dtype) > safetensors_element_bytes(b.dtype);
  });
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const TensorInfo& tensor : tensors) {
    size_t bytes = tensor.bytes();
    if (!slots_.emplace(tensor.name, Slot{offset, bytes, bytes == 0}).second)
      fail("{}: tensor '{}' is declared twice", path_.string(), tensor.name);
    header[tensor.name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string json = header.dump();
  json.resize((json.size() + 8 + 63) / 64 * 64 - 8, ' ');  // pad so that the data begins at a multiple of 64
  uint64_t json_bytes = json.size();
  header_.assign(reinterpret_cast<const char*>(&json_bytes), sizeof json_bytes);
  header_ += json;
  file_.write(header_);
}

void SafeTensorsWriter::write(const std::string& name, const void* data) {
  auto found = slots_.find(name);
  if (found == slots_.end()) fail("{}: tensor '{}' was not declared", path_.string(), name);
  Slot& slot = found->second;
  if (slot.bytes > 0) file_.write_at(header_.size() + slot.offset, data, slot.bytes);
  slot.written = true;
}

void SafeTensorsWriter::commit() {
  for (const auto& [name, slot] : slots_)
    if (!slot.written) fail("{}: tensor '{}' was declared but not written", path_.string(), name);
  file_.commit();
}

namespace {

constexpr std::string_view index_ending = ".safetensors.index.json";

// The path of the single .safetensors file, or of the index if only the index exists.
std::filesystem::path place_of(const std::filesystem::path& folder, const std::string& stem) {
  const std::filesystem::path file = folder / (stem + ".safetensors"),
                              index = folder / (stem + std::string(index_ending));
  return std::filesystem::exists(file) || !std::filesystem::exists(index) ? file : index;
}

}  // namespace

TensorFiles::TensorFiles(const std::filesystem::path& folder, const std::string& stem)
    : TensorFiles(place_of(folder, stem)) {}

TensorFiles::TensorFiles(const std::filesystem::path& file) : place_(file) {
  if (!file.string().ends_with(index_ending)) {
    files_.emplace_back(file);
    for (const StoredTensor& tensor : files_[0].tensors()) file_of_[tensor.name] = 0;
    return;
  }
  const std::string where = file.string();
  Json json = parse_json({where, read_file(file)});
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object())
    fail("{}: found no object 'weight_map'", where);
  std::map<std::string, size_t> opened;
  for (const auto& [tensor, part] : json["weight_map"].items()) {
    if (!part.is_string()) fail("{}: file of tensor '{}': found no string", where, tensor);
    std::string name = part.get<std::string>();
    if (name.empty() || name.find('/') != std::string::npos)
      fail("{}: tensor '{}': found the file '{}', expected one in the same folder", where, tensor, name);
    auto [known, fresh] = opened.emplace(name, files_.size());
    if (fresh) files_.emplace_back(place_.parent_path() / name);
    files_[known->second].find(tensor);
    file_of_[tensor] = known->second;
  }
  for (const SafeTensors& part : files_)
    for (const StoredTensor& tensor : part.tensors())
      if (!file_of_.contains(tensor.name) || file_of(tensor.name) != part.path())
        fail("{}: tensor '{}' of {} is not listed", where, tensor.name, part.path().filename().string());
}

std::vector<std::string> TensorFiles::names() const {
  std::vector<std::string> result;
  for (const auto& [name, file] : file_of_) result.push_back(name);
  return result;
}

const std::filesystem::path& TensorFiles::file_of(const std::string& name) const {
  auto found = file_of_.find(name);
  if (found == file_of_.end()) fail("{}: no tensor '{}'{}", place_.string(), name, did_you_mean(name, names()));
  return files_[found->second].path();
}

const StoredTensor& TensorFiles::find(const std::string& name) const {
  file_of(name);
  return files_[file_of_.at(name)].find(name);
}

std::string safetensors_file_name(const std::string& stem, int part, int parts) {
  return parts == 1 ? stem + ".safetensors" : fmt::format("{}-{:05}-of-{:05}.safetensors", stem, part + 1, parts);
}

void write_safetensors_index(const std::filesystem::path& folder, const std::string& stem,
                             const std::map<std::string, std::string>& file_of_tensor) {
  std::set<std::string> files;
  for (const auto& [tensor, file] : file_of_tensor) files.insert(file);
  uint64_t total_bytes = 0;
  for (const std::string& name : files) {
    const SafeTensors file(folder / name);
    for (const StoredTensor& tensor : file.tensors()) total_bytes += tensor.bytes();
  }
  Json index = {{"metadata", {{"total_size", total_bytes}}}, {"weight_map", file_of_tensor}};
  write_file_atomically(folder / (stem + ".safetensors.index.json"), index.dump(2) + "\n");
}

}  // namespace rowan

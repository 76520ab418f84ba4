// The safetensors format (github.com/huggingface/safetensors): an 8-byte little-endian header length, a JSON header
// naming each tensor's dtype, shape and byte range, then the bytes of all tensors without gaps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/files.h"

namespace rowan {

// Bytes of one element of a safetensors dtype ("F32", "BF16", "I64" ...); 0 for an unknown dtype.
size_t safetensors_element_bytes(std::string_view dtype);
// The safetensors spelling of a dtype: "F32", "BF16" or "I32".
const char* safetensors_dtype(DType dtype);

struct TensorInfo {
  std::string name;
  std::string dtype;  // as the format spells it: "F32"
  std::vector<int64_t> shape;

  // The size of the data. Throws Error if the dtype is unknown or the size does not fit in 63 bits.
  size_t bytes() const;
  int64_t numel() const;
  std::string describe() const;  // such as "F32[512, 768]"
};

struct StoredTensor : TensorInfo {
  const std::byte* data = nullptr;  // may be unaligned, because not every program pads the file's header
};

// A mapped safetensors file. The constructor checks that the header is complete and well formed, and that the byte
// ranges match the shapes and cover all bytes after the header exactly once. If a check fails, the constructor throws
// Error naming the file, and the tensor if a single one is at fault.
class SafeTensors {
 public:
  explicit SafeTensors(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  // Tensors in the order of their bytes in the file.
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  std::vector<std::string> names() const;
  bool has(const std::string& name) const { return by_name_.contains(name); }
  // Throws Error if there is no such tensor.
  const StoredTensor& find(const std::string& name) const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // The header as stored: length field and JSON.
  std::string_view header() const { return file_.text().substr(0, header_bytes_); }

 private:
  std::filesystem::path path_;
  MappedFile file_;
  size_t header_bytes_ = 0;
  std::vector<StoredTensor> tensors_;
  std::map<std::string, size_t> by_name_;
  std::map<std::string, std::string> metadata_;
};

// Reads F32, F64, F16 or BF16 as fp32. `out` has room for tensor.numel() values. Throws Error for other dtypes.
void read_floats(const StoredTensor& tensor, float* out);
std::vector<float> read_floats(const StoredTensor& tensor);
// Reads F32, F64, F16 or BF16 as fp32 or bf16 (through fp32, rounded to nearest even), or I32 as i32. Throws Error for
// other dtypes.
void read_values(const StoredTensor& tensor, DType dtype, void* out);

// Writes a file. The constructor declares all tensors; write() then stores each of them, in any order. Nothing appears
// at `path` before commit(), which throws Error if a tensor that has elements was not written.
class SafeTensorsWriter {
 public:
  SafeTensorsWriter(const std::filesystem::path& path, std::vector<TensorInfo> tensors,
                    const std::map<std::string, std::string>& metadata = {});

  void write(const std::string& name, const void* data);
  void commit();
  // The header as written: length field and JSON.
  std::string_view header() const { return header_; }

 private:
  struct Slot {
    uint64_t offset;
    size_t bytes;
    bool written;
  };
  AtomicFile file_;
  std::filesystem::path path_;
  std::string header_;
  std::map<std::string, Slot> slots_;
};

// The tensors of one file, or of all files that the index of a sharded Hugging Face model lists.
class TensorFiles {
 public:
  // Reads `<folder>/<stem>.safetensors`. If this file does not exist, reads the files that
  // `<folder>/<stem>.safetensors.index.json` lists, as Hugging Face transformers does.
  TensorFiles(const std::filesystem::path& folder, const std::string& stem);
  // If the name of `file` ends in .safetensors.index.json, reads the files that `file` lists, else `file` itself.
  explicit TensorFiles(const std::filesystem::path& file);

  // The path of the single file, or of the index file.
  const std::filesystem::path& path() const { return place_; }
  const std::vector<SafeTensors>& files() const { return files_; }
  // The names of all tensors, sorted.
  std::vector<std::string> names() const;
  bool has(const std::string& name) const { return file_of_.contains(name); }
  // Throws Error naming path() if no file has the tensor.
  const StoredTensor& find(const std::string& name) const;
  // The file that holds a tensor, for messages.
  const std::filesystem::path& file_of(const std::string& name) const;

 private:
  std::filesystem::path place_;
  std::vector<SafeTensors> files_;
  std::map<std::string, size_t> file_of_;
};

// "model.safetensors", or "model-00002-of-00004.safetensors" for part 1 of 4 (parts count from 0).
std::string safetensors_file_name(const std::string& stem, int part, int parts);
// Writes `<folder>/<stem>.safetensors.index.json`, which holds the file of each tensor, and `total_size`. As in Hugging
// Face's files, `total_size` is the bytes of all tensors, without the files' headers. Reads the headers of the files.
void write_safetensors_index(const std::filesystem::path& folder, const std::string& stem,
                             const std::map<std::string, std::string>& file_of_tensor);

}  // namespace rowan

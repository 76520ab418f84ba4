// The parameters of a model: names, shapes, roles, and places in the flat buffers of weights and of gradients.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/tensor.h"

namespace rowan {

// The role of a parameter. Position tables have the role `embedding`. A tied head is the token embedding itself, so its
// role is `embedding` too.
enum class Role : uint8_t { matrix, embedding, head, norm, bias };
constexpr auto names_of(Role) { return enum_names("matrix", "embedding", "head", "norm", "bias"); }
inline constexpr int role_count = count_of<Role>;

struct Parameter {
  std::string name;  // Hugging Face's name, if transformers has this parameter
  Role role = Role::matrix;
  std::vector<int64_t> shape;  // [rows, cols], which is [out, in] for linear layers; [n] for vectors
  int64_t offset = 0;          // elements from the start of a flat buffer that holds all parameters
  int block = 0;  // 0: embeddings, their norm and a tied head; 1 to n: the n layers; n + 1: final norm and head
  // Initial values: init_mean plus a normal value with standard deviation init_std, or plus a uniform value in
  // [-init_bound, init_bound].
  double init_mean = 0, init_std = 0, init_bound = 0;
  int64_t head_rows = 0;  // rows per attention head, if the rows belong to heads
  int64_t head_cols = 0;  // columns per attention head, if the columns belong to heads

  int64_t numel() const;
  int64_t rows() const { return shape[0]; }
  int64_t cols() const { return shape.size() > 1 ? shape[1] : 1; }
  // The parameter's part of a flat buffer, in the parameter's shape.
  Tensor in(Tensor flat) const;
};

class ParameterTable {
 public:
  // Appends a parameter. If `aligned`, its offset is rounded up to a multiple of 64 elements. If not, the parameter
  // directly follows the previous one, so that q, k and v (or gate and up) can be multiplied as one matrix.
  void add(Parameter parameter, bool aligned = true);

  // Leaves this many unused elements after the last parameter.
  void leave_room(int64_t elements) { elements_ += elements; }

  const std::vector<Parameter>& parameters() const { return parameters_; }
  // Throws Error if no parameter has this name.
  const Parameter& find(const std::string& name) const;
  // Length of a flat buffer that holds all parameters, with padding.
  int64_t elements() const { return elements_; }
  // The number of parameter elements, without padding.
  int64_t count() const;
  int64_t count(Role role) const;

 private:
  std::vector<Parameter> parameters_;
  std::unordered_map<std::string, size_t> at_;  // index in parameters_, by name
  int64_t elements_ = 0;
};

// Maps parameters to a flat buffer that holds `resident` layers at a time (0: all). The layers of block b and
// of block b + resident use the same memory. The first and the last block do not share memory with other blocks.
class Placement {
 public:
  Placement() = default;
  explicit Placement(const ParameterTable& table, int resident = 0);

  int64_t elements() const { return elements_; }
  int blocks() const { return layers_ + 2; }
  bool is_layer(int block) const { return block >= 1 && block <= layers_; }
  // The buffer has `resident` parts of the size of a layer. Returns the index, from 0, of the part that a layer uses.
  int slot(int block) const { return (block - 1) % resident_; }
  Tensor in(Tensor flat, const Parameter& parameter) const;
  // The part of the buffer that a block uses.
  Tensor block(Tensor flat, int block) const;

 private:
  int64_t shift(int block) const;

  std::vector<int64_t> begins_;  // the offset of each block in the table, then the table's elements()
  int layers_ = 0, resident_ = 0;
  int64_t elements_ = 0;
};

}  // namespace rowan

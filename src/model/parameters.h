// The parameter table: what a model's weights are called, how they are shaped, and where they lie in the flat buffers
// of weights, gradients and (when the weights are bf16) fp32 masters, which share one layout.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/tensor.h"

namespace rowan {

// What optimizers route by. Position tables are embeddings; a tied head is the embedding.
enum class Role : uint8_t { matrix, embedding, head, norm, bias };
constexpr auto names_of(Role) { return enum_names("matrix", "embedding", "head", "norm", "bias"); }
inline constexpr int role_count = count_of<Role>;

struct Parameter {
  std::string name;  // as Hugging Face names it
  Role role = Role::matrix;
  std::vector<int64_t> shape;  // [out, in], or [n] for vectors
  int64_t offset = 0;          // elements from the start of the flat buffers
  int block = 0;               // 0 embeddings (and a tied head), 1 .. layers, layers + 1 final norm and head
  // Initial values: init_mean, and normal with init_std or uniform within init_bound around it.
  double init_mean = 0, init_std = 0, init_bound = 0;
  int64_t head_rows = 0;  // of projections whose rows are heads of attention: rows of one

  int64_t numel() const;
  int64_t rows() const { return shape[0]; }
  int64_t cols() const { return shape.size() > 1 ? shape[1] : 1; }
  // The parameter's part of a flat buffer, in its own shape.
  Tensor in(Tensor flat) const;
};

class ParameterTable {
 public:
  // Appends a parameter right behind the last one; `aligned` first rounds the offset up to a cache line. Parameters
  // added without it lie back to back, so that q, k, v (or gate, up) can be multiplied as one matrix.
  void add(Parameter parameter, bool aligned = true);

  // Elements that belong to no parameter, behind the last one.
  void leave_room(int64_t elements) { elements_ += elements; }

  const std::vector<Parameter>& parameters() const { return parameters_; }
  // Throws Error naming the nearest parameter.
  const Parameter& find(const std::string& name) const;
  // Length of the flat buffers, with padding.
  int64_t elements() const { return elements_; }
  // Number of parameters proper.
  int64_t count() const;
  int64_t count(Role role) const;

 private:
  std::vector<Parameter> parameters_;
  int64_t elements_ = 0;
};

// Where parameters lie in a flat buffer that holds `resident` layers at a time (0: all of them): layer blocks b and
// b + resident share a place. Blocks 0 and layers + 1 always have their own.
class Placement {
 public:
  Placement() = default;
  explicit Placement(const ParameterTable& table, int resident = 0);

  int64_t elements() const { return elements_; }
  int blocks() const { return layers_ + 2; }
  bool is_layer(int block) const { return block >= 1 && block <= layers_; }
  // Which of the places a layer block has.
  int slot(int block) const { return (block - 1) % resident_; }
  Tensor in(Tensor flat, const Parameter& parameter) const;
  // All of a block's place.
  Tensor block(Tensor flat, int block) const;

 private:
  int64_t shift(int block) const;

  std::vector<int64_t> begins_;  // of each block in the table, and the end
  int layers_ = 0, resident_ = 0;
  int64_t elements_ = 0;
};

}  // namespace rowan

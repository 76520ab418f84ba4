#include "model/parameters.h"

#include <algorithm>

#include "base/error.h"
#include "base/names.h"

namespace rowan {

int64_t Parameter::numel() const {
  int64_t n = 1;
  for (int64_t d : shape) n *= d;
  return n;
}

Tensor Parameter::in(Tensor flat) const {
  Tensor part = flat.slice(offset, numel());
  return shape.size() > 1 ? part.view({shape[0], shape[1]}) : part;
}

void ParameterTable::add(Parameter parameter, bool aligned) {
  constexpr int64_t line = 64;  // elements: two 64-byte cache lines of bf16, or four of fp32
  if (aligned) elements_ = (elements_ + line - 1) / line * line;
  parameter.offset = elements_;
  elements_ += parameter.numel();
  at_.emplace(parameter.name, parameters_.size());
  parameters_.push_back(std::move(parameter));
}

const Parameter& ParameterTable::find(const std::string& name) const {
  if (const auto found = at_.find(name); found != at_.end()) return parameters_[found->second];
  std::vector<std::string> names;
  for (const Parameter& parameter : parameters_) names.push_back(parameter.name);
  fail("found no parameter '{}'{}", name, did_you_mean(name, names));
}

int64_t ParameterTable::count() const {
  int64_t n = 0;
  for (const Parameter& parameter : parameters_) n += parameter.numel();
  return n;
}

int64_t ParameterTable::count(Role role) const {
  int64_t n = 0;
  for (const Parameter& parameter : parameters_)
    if (parameter.role == role) n += parameter.numel();
  return n;
}

Placement::Placement(const ParameterTable& table, int resident) {
  for (const Parameter& parameter : table.parameters()) {
    while (static_cast<int>(begins_.size()) <= parameter.block) begins_.push_back(parameter.offset);
  }
  layers_ = static_cast<int>(begins_.size()) - 2;
  begins_.push_back(table.elements());
  resident_ = resident > 0 ? std::min(resident, layers_) : layers_;
  elements_ = table.elements() - shift(layers_ + 1);
}

// The difference between a block's offset in the table and its offset in the buffer. All layers have the same size, so
// the offsets of consecutive layers differ by a constant.
int64_t Placement::shift(int block) const {
  if (block == 0 || layers_ == resident_) return 0;
  int64_t step = begins_[2] - begins_[1];
  return is_layer(block) ? (block - 1 - slot(block)) * step : (layers_ - resident_) * step;
}

Tensor Placement::in(Tensor flat, const Parameter& parameter) const {
  Parameter moved = parameter;
  moved.offset -= shift(parameter.block);
  return moved.in(flat);
}

Tensor Placement::block(Tensor flat, int block) const {
  return flat.slice(begins_[block] - shift(block), begins_[block + 1] - begins_[block]);
}

}  // namespace rowan

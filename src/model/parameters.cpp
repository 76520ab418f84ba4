#include "model/parameters.h"

#include "base/error.h"
#include "base/names.h"

namespace rowan {

const char* name_of(Role role) {
  static const char* const names[role_count] = {"matrix", "embedding", "head", "norm", "bias"};
  return names[static_cast<int>(role)];
}

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
  constexpr int64_t line = 64;  // elements: a cache line of bf16 is 32, of f32 16
  if (aligned) elements_ = (elements_ + line - 1) / line * line;
  parameter.offset = elements_;
  elements_ += parameter.numel();
  parameters_.push_back(std::move(parameter));
}

const Parameter& ParameterTable::find(const std::string& name) const {
  std::vector<std::string> names;
  for (const Parameter& parameter : parameters_) {
    if (parameter.name == name) return parameter;
    names.push_back(parameter.name);
  }
  fail("no parameter is called '{}'{}", name, did_you_mean(name, names));
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

}  // namespace rowan

#include "train/profile.h"

#include "base/error.h"
#include "base/file_kind.h"

namespace rowan {
namespace {

constexpr int traced_steps = 20;

const std::string& checked(const std::string& file) {
  check_replaced(file, "{\"displayTimeUnit\"", "a trace");
  return file;
}

}  // namespace

Profile::Profile(Timeline& timeline, const std::string& file, const Note& note)
    : timeline_(timeline), name_(file), note_(note), file_(checked(file)) {}

Profile::~Profile() {
  if (!timeline_.recording()) return;
  if (steps_)
    write();
  else
    note_(fmt::format("{}: no trace was written, since no step was made", name_));
}

void Profile::step() {
  if (timeline_.recording() && ++steps_ == traced_steps) write();
}

void Profile::write() {
  timeline_.stop();
  try {
    file_.write(timeline_.json("rowan train"));
    file_.commit();
    note_(fmt::format("{}: a trace of {} steps, for ui.perfetto.dev or chrome://tracing", name_, steps_));
  } catch (const Error& error) {
    note_(fmt::format("warning: --profile: no trace was written: {}", error.what()));
  }
}

}  // namespace rowan

#include "train/profile.h"

#include "base/error.h"
#include "base/files.h"

namespace rowan {
namespace {

constexpr int traced_steps = 20;

}  // namespace

Profile::Profile(Timeline& timeline, std::string file, const Note& note)
    : timeline_(timeline), file_(std::move(file)), note_(note) {
  timeline_.record();
}

Profile::~Profile() {
  if (!timeline_.recording()) return;
  if (!steps_) note_(fmt::format("{}: no trace was written, since no step was made", file_));
  try {
    if (steps_) write();
  } catch (const Error& error) {  // a destructor must not throw
    note_(error.what());
  }
}

void Profile::step() {
  if (timeline_.recording() && ++steps_ == traced_steps) write();
}

void Profile::write() {
  timeline_.stop();
  write_file_atomically(file_, timeline_.json("rowan train"));
  note_(fmt::format("{}: a trace of {} steps, for ui.perfetto.dev or chrome://tracing", file_, steps_));
}

}  // namespace rowan

#include "run/checkpoint.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/files.h"
#include "base/json_path.h"
#include "base/mapped_guard.h"
#include "base/names.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

constexpr int manifest_version = 1;

std::string hex(uint64_t hash) { return fmt::format("{:016x}", hash); }

std::string bytes_hash(const void* data, size_t bytes) {
  Hash64 hash;
  hash.add(data, bytes);
  return hex(hash.value());
}

constexpr std::string_view step_prefix = "step_", ruined_prefix = "ruined_";

std::string name_with(std::string_view prefix, int64_t step) { return fmt::format("{}{:08}", prefix, step); }

// The step in a folder's name, or -1 if name_with() would write the name differently. A folder such as step_5 must not
// count as a checkpoint, because rotation might then keep it and remove a real one.
int64_t number_of(const fs::path& folder, std::string_view prefix) {
  const std::string name = folder.filename().string();
  int64_t step = -1;
  if (!name.starts_with(prefix)) return -1;
  std::from_chars(name.data() + prefix.size(), name.data() + name.size(), step);
  return step >= 0 && name == name_with(prefix, step) ? step : -1;
}

// Writes one safetensors file and returns its entry for the manifest.
Json write_tensors(const fs::path& path, const std::vector<TensorSource>& sources) {
  SafeTensorsWriter writer(path, {sources.begin(), sources.end()}, {{"format", "pt"}});
  Json hashes = Json::object();
  for (const TensorSource& source : sources) {
    const void* data = source.data();
    hashes[source.name] = bytes_hash(data, source.bytes());
    writer.write(source.name, data);
  }
  writer.commit();
  return {{"bytes", fs::file_size(path)}, {"header", hex(hash64(writer.header()))}, {"tensors", hashes}};
}

Json plain_entry(const fs::path& path) {
  std::string content = read_file(path);
  return {{"bytes", content.size()}, {"xxh64", hex(hash64(content))}};
}

// The path of a rank's part of the manifest.
fs::path manifest_part(const fs::path& folder, int rank, int ranks) {
  return folder / fmt::format("manifest-{:05}-of-{:05}.json", rank + 1, ranks);
}

// The value of `key` in an object of the manifest at `path`. Throws Error if the object lacks the key.
const Json& field(const Json& object, const char* key, const fs::path& path) {
  if (!object.is_object() || !object.contains(key)) fail("{}: found no '{}'", path.string(), key);
  return object[key];
}

void verify_file(const fs::path& path, const Json& entry, const fs::path& manifest) {
  const std::string where = path.string();
  std::error_code error;
  const bool missing = fs::status(path, error).type() == fs::file_type::not_found;
  if (missing || error == std::errc::filename_too_long)
    fail("{}: no such file, but {} lists it", where, manifest.string());
  const uintmax_t size = fs::file_size(path, error);
  if (error) throw Unreadable(one_line(fmt::format("cannot read {}: {}", where, error.message())));
  if (const Json& bytes = field(entry, "bytes", manifest); bytes != size)
    fail("{}: damaged: found {} bytes, expected {}", where, size, bytes.dump());
  if (!entry.contains("tensors")) {
    if (field(entry, "xxh64", manifest) != hex(hash64(read_file(path)))) fail("{}: damaged: wrong checksum", where);
    return;
  }
  SafeTensors tensors(path);
  if (field(entry, "header", manifest) != hex(hash64(tensors.header())))
    fail("{}: damaged: wrong checksum of the header", where);
  for (const StoredTensor& tensor : tensors.tensors())
    if (field(entry["tensors"], tensor.name.c_str(), manifest) != bytes_hash(tensor.data, tensor.bytes()))
      fail("{}: damaged: wrong checksum of tensor '{}'", where, tensor.name);
}

// Renames a finished checkpoint first. A process killed during the removal then leaves no incomplete folder that has a
// checkpoint's name.
void remove_checkpoint(const fs::path& folder) {
  fs::path doomed = folder;
  if (folder.extension() != ".part") {
    doomed += ".part";
    fs::remove_all(doomed);
    fs::rename(folder, doomed);
  }
  fs::remove_all(doomed);
}

// Removes the folders that `choose` returns. A failure costs only disk space, so `warn` receives the first one.
void remove_checkpoints(const std::function<std::vector<fs::path>()>& choose,
                        const std::function<void(const std::string&)>& warn) {
  std::string failure;
  const auto attempt = [&](const std::function<void()>& work) {
    try {
      work();
    } catch (const fs::filesystem_error& error) {
      if (failure.empty())
        failure = fmt::format("warning: cannot remove old checkpoints: {}: {}; the run continues, and they take space",
                              error.path1().string(), error.code().message());
    }
  };
  std::vector<fs::path> old;
  attempt([&] { old = choose(); });
  for (const fs::path& folder : old) attempt([&] { remove_checkpoint(folder); });
  if (!failure.empty()) warn(failure);
}

// The entries of a folder for which `wanted` returns true.
std::vector<fs::path> entries_of(const fs::path& folder, const std::function<bool(const fs::path&)>& wanted) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder))
    if (wanted(entry.path())) found.push_back(entry.path());
  return found;
}

// The checkpoints that `rotation` does not keep, among those up to `step`.
std::vector<fs::path> old_checkpoints(const fs::path& folder, int64_t step, const Rotation& rotation) {
  const std::vector<fs::path> there = list_checkpoints(folder);
  std::vector<int64_t> steps;  // falling
  for (const fs::path& checkpoint : there) steps.push_back(step_of(checkpoint));
  const auto best = std::find_if(rotation.best.begin(), rotation.best.end(), [&](int64_t evaluated) {
    return std::binary_search(steps.begin(), steps.end(), evaluated, std::greater<>());
  });
  std::vector<fs::path> old;
  int64_t newest = 0;
  for (size_t i = 0; i < steps.size(); ++i) {
    const int64_t at = steps[i], every = rotation.keep_every, before = i + 1 < steps.size() ? steps[i + 1] : 0;
    if (at > step || ++newest <= rotation.keep) continue;
    if (best != rotation.best.end() && at == *best) continue;
    // A save that is due at a multiple comes later if the update of that step is skipped.
    if (every && (at % every == 0 || at / every > before / every)) continue;
    old.push_back(there[i]);
  }
  return old;
}

}  // namespace

fs::path checkpoint_path(const fs::path& folder, int64_t step) { return folder / name_with(step_prefix, step); }

int64_t step_of(const fs::path& checkpoint) { return number_of(checkpoint, step_prefix); }

CheckpointWriter::CheckpointWriter(const fs::path& folder, int64_t step, int rank, int ranks, Condition condition)
    : final_(condition == Condition::sound ? checkpoint_path(folder, step) : folder / name_with(ruined_prefix, step)),
      rank_(rank),
      ranks_(ranks),
      step_(step),
      condition_(condition) {
  part_ = final_.string() + ".part";
  if (rank_ != 0) return;
  std::error_code error;
  fs::remove_all(part_, error);
  if (!error) fs::create_directories(part_, error);
  if (error) fail("cannot create {}: {}", part_.string(), error.message());
}

CheckpointWriter::~CheckpointWriter() {
  std::error_code ignored;  // the error that ended the save is reported instead
  if (rank_ == 0) fs::remove_all(part_, ignored);
}

void CheckpointWriter::write(const std::vector<TensorSource>& model, const std::vector<TensorSource>& optimizer,
                             const std::map<std::string, std::vector<TensorSource>>& averages) {
  Json files = Json::object();
  auto write_file = [&](const std::string& stem, const std::vector<TensorSource>& sources) {
    const std::string name = safetensors_file_name(stem, rank_, ranks_);
    files[name] = write_tensors(part_ / name, sources);
    stems_.push_back(stem);
  };
  write_file("model", model);
  write_file("optimizer", optimizer);
  for (const auto& [name, sources] : averages) write_file(name, sources);
  write_file_atomically(manifest_part(part_, rank_, ranks_), files.dump());
}

void CheckpointWriter::commit(const Json& state, const Rotation& rotation) {
  write_file_atomically(part_ / "state.json", state.dump(2) + "\n");
  Json files = {{"state.json", plain_entry(part_ / "state.json")}};
  for (int rank = 0; rank < ranks_; ++rank) {
    const fs::path path = manifest_part(part_, rank, ranks_);
    files.update(parse_json({path.string(), read_file(path)}));
    fs::remove(path);
  }
  for (const std::string& stem : stems_) {
    if (ranks_ == 1) break;
    std::map<std::string, std::string> file_of;
    for (int rank = 0; rank < ranks_; ++rank) {
      const std::string name = safetensors_file_name(stem, rank, ranks_);
      for (const auto& [tensor, hash] : files[name]["tensors"].items())
        if (!file_of.emplace(tensor, name).second)
          fail("{}: tensor '{}': found two ranks that wrote it", (part_ / name).string(), tensor);
    }
    write_safetensors_index(part_, stem, file_of);
    const std::string index = fmt::format("{}.safetensors.index.json", stem);
    files[index] = plain_entry(part_ / index);
  }
  const Json manifest = {{"version", manifest_version}, {"files", files}};
  write_file_atomically(part_ / "manifest.json", manifest.dump(1) + "\n");
  rename_durably(part_, final_);
  if (condition_ == Condition::sound) return rotate_checkpoints(final_.parent_path(), step_, rotation);
  const auto other_and_ruined = [&](const fs::path& path) {
    return number_of(path, ruined_prefix) >= 0 && path != final_;
  };
  remove_checkpoints([&] { return entries_of(final_.parent_path(), other_and_ruined); }, rotation.warn);
}

void rotate_checkpoints(const fs::path& folder, int64_t step, const Rotation& rotation) {
  if (rotation.keep == 0) return;
  remove_checkpoints([&] { return old_checkpoints(folder, step, rotation); }, rotation.warn);
}

namespace {

// The stem of the file that holds `weights`, which is "raw" or the name of an average.
std::string weights_stem(const fs::path& folder, const Json& state, const std::string& weights) {
  if (weights == "raw") return "model";
  std::vector<std::string> there = {"raw"};
  if (state.is_object() && state.contains("averages"))
    for (const auto& [name, count] : state["averages"].items()) there.push_back(name);
  if (std::find(there.begin(), there.end(), weights) == there.end())
    fail("{}: found no weights '{}', expected {}; a run keeps averages if its config has \"average\"", folder.string(),
         weights, join(there));
  return weights;
}

}  // namespace

Checkpoint::Checkpoint(const fs::path& folder, const std::string& weights)
    : folder_(folder),
      state_(parse_json({(folder / "state.json").string(), read_file(folder / "state.json")})),
      model_(folder, weights_stem(folder, state_, weights)),
      optimizer_(folder, "optimizer") {}

void verify_checkpoint(const fs::path& checkpoint) {
  const fs::path path = checkpoint / "manifest.json";
  const Json manifest = parse_json({path.string(), read_file(path)});
  if (const Json& version = field(manifest, "version", path); version != manifest_version)
    fail("{}: found version {}, expected {}", path.string(), version.dump(), manifest_version);
  const Json& files = field(manifest, "files", path);
  field(files, "state.json", path);
  for (const auto& [name, entry] : files.items()) verify_file(checkpoint / name, entry, path);
  const std::string state_file = (checkpoint / "state.json").string();
  const Json state = parse_json({state_file, read_file(state_file)});
  const Json* step = value_at(state, "step");
  if (const int64_t named = step_of(checkpoint); named >= 0 && step && step->is_number_integer() && *step != named)
    fail("{}: step: found {}, expected {} as the folder's name says", state_file, step->dump(), named);
}

std::vector<fs::path> list_checkpoints(const fs::path& folder) {
  std::vector<fs::path> found;
  if (!fs::is_directory(folder)) return found;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_directory() && step_of(entry.path()) >= 0) found.push_back(entry.path());
  std::sort(found.begin(), found.end(), [](const fs::path& a, const fs::path& b) { return step_of(a) > step_of(b); });
  return found;
}

std::optional<fs::path> newest_checkpoint(const fs::path& folder, const std::function<void(const std::string&)>& warn) {
  for (int tries = 1;; ++tries) {
    std::vector<std::string> damage;
    bool again = false;
    for (const fs::path& checkpoint : list_checkpoints(folder)) {
      try {
        verify_checkpoint(checkpoint);
        for (const std::string& text : damage) warn("skipping a checkpoint: " + text);
        return checkpoint;
      } catch (const Unreadable&) {
        // It may be sound. A run that went on from an older one would overwrite it.
        if (!(again = has_vanished(checkpoint) && tries < most_tries)) throw;
        break;
      } catch (const Error& error) {
        if ((again = has_vanished(checkpoint) && tries < most_tries)) break;
        check_mapped_files();  // bytes that could not be read have a wrong checksum, too
        damage.push_back(error.what());
      }
    }
    if (again) continue;
    if (!damage.empty()) fail("no undamaged checkpoint in {}: {}", folder.string(), damage.front());
    return std::nullopt;
  }
}

bool has_vanished(const fs::path& checkpoint) {
  std::error_code unreadable;
  return !fs::exists(checkpoint, unreadable) && !unreadable;
}

std::optional<fs::path> ruined_after(const fs::path& folder, int64_t step) {
  for (const auto& entry : fs::directory_iterator(folder))
    if (number_of(entry.path(), ruined_prefix) > step) return entry.path();
  return std::nullopt;
}

void remove_unfinished_checkpoints(const fs::path& folder, const std::function<void(const std::string&)>& warn) {
  if (!fs::is_directory(folder)) return;
  const auto unfinished = [](const fs::path& path) {
    const std::string name = path.filename().string(), stem = name.substr(0, name.find('.'));
    return name.ends_with(".part") && (step_of(stem) >= 0 || number_of(stem, ruined_prefix) >= 0);
  };
  remove_checkpoints([&] { return entries_of(folder, unfinished); }, warn);
}

}  // namespace rowan

// The families of runs: configs, sweeps, checkpoints, results, and the meeting of ranks.
#include <arpa/inet.h>
#include <sys/socket.h>

#include <cstring>

#include "base/files.h"
#include "base/folder_lock.h"
#include "base/json.h"
#include "base/safetensors.h"
#include "comm/rendezvous.h"
#include "evaluate/entropy_floor.h"
#include "fuzz/entry.h"
#include "report/html.h"
#include "report/judge.h"
#include "run/checkpoint.h"
#include "run/loss_chart.h"
#include "run/starts.h"
#include "run/tokenizer_match.h"
#include "small_run.h"
#include "sweep/sweep_file.h"
#include "train/config.h"

namespace rowan {
namespace {

void safetensors_entry(std::string_view input) {
  result_or_error([&] {
    const SafeTensors file(folder().write("a.safetensors", input));
    for (const StoredTensor& tensor : file.tensors()) {
      const std::byte* begin = reinterpret_cast<const std::byte*>(file.header().data());
      promise(tensor.data >= begin + file.header().size() && tensor.data + tensor.bytes() <= begin + input.size(),
              "tensors lie inside the file");
      result_or_error([&] { read_floats(tensor); });
    }
  });
}

Strings safetensors_seeds() {
  const std::string path = folder() / "seed.safetensors";
  SafeTensorsWriter writer(path, {{"model.a", "F32", {3, 5}}, {"model.b", "BF16", {7}}, {"c", "I64", {1}}},
                           {{"format", "pt"}});
  const std::string zeros(60, '\0');
  for (const char* name : {"model.a", "model.b", "c"}) writer.write(name, zeros.data());
  writer.commit();
  return {read_file(path)};
}

// The input is a config, then a zero byte and an assignment for --set.
void read_config(std::string_view input) {
  const size_t zero = std::min(input.find('\0'), input.size());
  std::vector<Edit> edits;
  if (zero < input.size()) edits.push_back(std::string(input.substr(zero + 1)));
  const TrainConfig config = parse_config({"run.json", std::string(input.substr(0, zero))}, edits);
  try {
    parse_config({"resolved.json", config.resolved.dump()}, {});
  } catch (const Error&) {
    promise(false, "a run can continue from its resolved config");
  }
}

void config_entry(std::string_view input) {
  result_or_error([&] { read_config(input); });
}

// A seed must be valid, so that mutations reach what comes after the checks.
Strings valid(Strings seeds, void (*read)(std::string_view)) {
  for (const std::string& seed : seeds) read(seed);
  return seeds;
}

const char* const small_config = R"({"data": {"train": "a", "validation": ["b"], "format": "nanogpt", "width": 2},
 "model": {"model_type": "gpt2", "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32, "vocab_size": 300},
 "optimizer": {"name": "recipe", "form": "ema", "equilibrate": "row", "direction": "newton_schulz", "lr": 0.01},
 "batch": {"sequences": 4, "sequence_length": 16}, "average": {"ema": 0.9}, "skip": {"loss_zscore": 5},
 "run": {"dir": "r", "steps": 9, "eval_every": 3}})";

Strings config_seeds() {
  return valid(
      {R"({"data": {"mixture": [{"glob": "a*", "weight": 2}, {"glob": ["b"], "weight": 1}], "reading": "documents"},
 "model": {"model_type": "llama", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
   "num_attention_heads": 4, "vocab_size": 64, "max_position_embeddings": 32},
 "batch": {"sequences": 4, "sequence_length": 16, "micro_batch": 2}, "grad_clip": 1, "precision": "bf16",
 "optimizer": {"name": "muon", "lr": 0.01, "adamw": {"lr": 1e-3}}, "run": {"dir": "r", "steps": 9},
 "schedule": {"name": "cosine", "warmup_steps": 2}})" +
           std::string(1, '\0') + "optimizer.lr=3e-3",
       small_config},
      read_config);
}

// The first byte selects a sweep, published figures, the config of a published model, or the entropy of a corpus.
void read_sweep_input(std::string_view input) {
  if (input.empty()) return;
  static const std::string base = folder().write("base.json", small_config);
  const std::string file = folder().write("sweep_or_other.json", input.substr(1));
  switch (static_cast<unsigned char>(input[0]) % 4) {
    case 0:
      promise(!load_sweep(file, {}, false).cells.empty(), "a sweep has cells");
      break;
    case 1:
      for (const Json& item : load_targets(file)) {
        const Target target = parse_target(item);
        promise(target.loss() >= 0 || target.unit == "nats", "a perplexity of at least 1 is a loss of at least 0");
      }
      break;
    case 2:
      parameter_table(load_model(file));
      break;
    default:
      folder().write("entropy.json", input.substr(1));
      entropy_floor(folder() / "tales.bin");
  }
}

void sweep_entry(std::string_view input) {
  result_or_error([&] { read_sweep_input(input); });
}

Strings sweep_seeds() {
  return valid(
      {std::string(1, 0) + R"({"base": "base.json", "dir": "s", "set": {"run.steps": 8},
 "axes": {"case": {"a": {}, "b": {"batch.sequences": 2, "config": "base.json"}}, "grad_clip": [1, 2]},
 "tune": {"path": "optimizer.lr", "factors": [0.5, 1], "extend": 2}, "seeds": [1, 2], "against": "a",
 "resources": {"jobs": 1, "ranks": 2, "launcher": "mpirun -n {ranks}"}, "checkpoints": "remove", "retries": 2})",
       std::string(1, 1) + R"({"targets": [{"config": "base.json", "set": {"optimizer.lr": 0.1}, "metric": "val_loss",
 "perplexity": 22.5, "step": 9, "seeds": 3, "deviation": 0.1, "source": "Table 1", "confidence": "plotted"}],
 "elsewhere": [{"source": "Table 2", "what": "x", "optimizer": "muon", "nats": 3.1}]})",
       std::string(1, 2) + R"({"model_type": "llama", "hidden_size": 16, "intermediate_size": 24, "pad_token_id": null,
 "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 64, "rope_scaling":
 {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
  "original_max_position_embeddings": 16}, "max_position_embeddings": 32, "torch_dtype": "bfloat16"})",
       std::string(1, 3) + R"({"entropy": 1.5, "shards": {"tales.bin": {"nats_per_token": 0.5}}})"},
      read_sweep_input);
}

const char* const run_files[] = {"metrics.jsonl", "checkpoints/step_00000001/manifest.json",
                                 "checkpoints/step_00000001/state.json", "lock", "starts.jsonl"};

// The fuzzer's own run folder, with one checkpoint of one tensor.
const std::filesystem::path& small_run() {
  static const std::filesystem::path run = [] {
    const std::filesystem::path path = folder() / "run";
    static const std::vector<float> values(15);
    CheckpointWriter writer(path / "checkpoints", 1);
    const TensorSource source{{"a", "F32", {3, 5}}, [] { return values.data(); }};
    writer.write({source}, {source});
    writer.commit({{"step", 1}, {"tokenizer_hash", "00ff"}}, {});
    return path;
  }();
  return run;
}

// The first byte selects a file of a run. The rest of the input is the content of that file.
void run_entry(std::string_view input) {
  if (input.empty()) return;
  const size_t kind = static_cast<unsigned char>(input[0]) % std::size(run_files);
  const std::filesystem::path checkpoint = small_run() / "checkpoints/step_00000001";
  static const std::string manifest = read_file(checkpoint / "manifest.json"),
                           state = read_file(checkpoint / "state.json");
  write_file_atomically(small_run() / run_files[kind], input.substr(1));
  const auto note = [](const std::string&) {};
  result_or_error([&] {
    if (kind == 0) {
      for (const Json& row : read_metrics(small_run() / "metrics.jsonl", note))
        promise(row["step"].get<int64_t>() >= 0, "a row has a step");
      loss_chart_text(read_loss_curves(small_run() / "metrics.jsonl", note));
    } else if (kind == 4) {
      changes_on_the_way(read_starts(small_run(), note));
    } else if (kind == 3) {  // the lock file
      const FolderLock lock(small_run(), "fuzzes", note, {.stale = {}, .patience = {}});
      lock.check();
    } else {
      verify_checkpoint(checkpoint);
    }
  });
  if (kind == 2) result_or_error([&] { tokenizer_of_checkpoint(Checkpoint(checkpoint)); });
  write_file_atomically(checkpoint / "manifest.json", manifest);
  write_file_atomically(checkpoint / "state.json", state);
}

Strings run_seeds() {
  const std::filesystem::path checkpoint = small_run() / "checkpoints/step_00000001";
  return {std::string(1, 0) + "{\"step\":1,\"loss\":2.5,\"tokens\":64}\n{\"step\":1,\"val_loss\":2.25}\n",
          std::string(1, 1) + read_file(checkpoint / "manifest.json"),
          std::string(1, 2) + read_file(checkpoint / "state.json"),
          std::string(1, 3) + R"({"host": "a", "process": 7, "start": "1", "boot": "b", "since": "c"})",
          std::string(1, 4) + "{\"step\":0,\"config\":{}}\n" +
              R"({"step":4,"from":4,"changes":{"/optimizer/lr":{"from":0.01,"to":0.02},"/run/steps":{"to":[9]}}})" +
              "\n"};
}

// A finished run of two evaluations, and a sweep of it.
const std::filesystem::path& small_sweep() {
  static const std::filesystem::path dir = [] {
    const std::filesystem::path path = folder() / "results";
    std::filesystem::create_directories(path / "a");
    write_file_atomically(path / "a/config.json", parse_config({"run.json", small_config}, {}).resolved.dump());
    write_file_atomically(path / "a/metrics.jsonl",
                          "{\"step\":3,\"loss\":2.5,\"tokens\":192,\"val_loss\":2.75}\n"
                          "{\"step\":9,\"loss\":2.25,\"tokens\":576,\"val_loss\":2.5,\"seconds\":3}\n");
    write_file_atomically(
        path / "sweep.json",
        R"({"axes": ["case"], "tuned": "lr", "metric": "val_loss", "against": "", "loss": 2.6, "targets": [],
 "runs": [{"name": "a", "labels": ["a"], "config": "base.json", "tuned": 0.01, "seed": 42}]})");
    return path;
  }();
  return dir;
}

const char* const result_files[] = {"sweep.json", "a/config.json", "a/metrics.jsonl"};

// The first byte selects a file of a sweep's folder. The rest of the input is the content of that file.
void results_entry(std::string_view input) {
  if (input.empty()) return;
  const std::filesystem::path file =
      small_sweep() / result_files[static_cast<unsigned char>(input[0]) % std::size(result_files)];
  const std::string whole = read_file(file);
  write_file_atomically(file, input.substr(1));
  result_or_error([&] {
    const ResultSet set = read_sweep(small_sweep());
    judge(set, true);
    html_report(set, "a sweep");
  });
  result_or_error([&] {
    const ResultSet set = read_runs({(small_sweep() / "a").string()}, {"optimizer.lr"});
    judge(set);
  });
  write_file_atomically(file, whole);
}

Strings results_seeds() {
  Strings seeds;
  for (char kind = 0; kind < static_cast<char>(std::size(result_files)); ++kind)
    seeds.push_back(std::string(1, kind) + read_file(small_sweep() / result_files[static_cast<size_t>(kind)]));
  return seeds;
}

// What a stranger sends to rank 0 of four ranks. If the first byte is odd, the run's secret comes before the rest of
// the input.
void rendezvous_entry(std::string_view input) {
  if (input.empty()) return;
  static Rendezvous meeting("file:" + folder() / "meeting");
  static const Socket listener = meeting.open();
  static const auto [secret, port] = [] {
    std::pair<uint64_t, uint16_t> read;
    for (const auto& file : std::filesystem::directory_iterator(folder() / "."))
      if (file.path().filename().string().starts_with("meeting"))
        std::ifstream(file.path()) >> read.first >> read.second;
    return read;
  }();
  const Socket guest(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(guest.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address)) return;
  std::string sent(reinterpret_cast<const char*>(&secret), input[0] & 1 ? sizeof secret : 0);
  sent += input.substr(1);
  guest.write(sent.data(), sent.size());
  ::shutdown(guest.fd(), SHUT_WR);
  guest.set_timeout(10);
  for (int tries = 0; tries < 100; ++tries) {
    Socket peer;
    const int rank = meeting.welcome(listener, 4, peer);
    if (rank >= 0) {
      int32_t numbers[2] = {};
      promise(sent.size() >= sizeof secret + sizeof numbers && !std::memcmp(sent.data(), &secret, sizeof secret),
              "only ranks with the secret are accepted");
      std::memcpy(numbers, sent.data() + sizeof secret, sizeof numbers);
      promise(numbers[0] == rank && rank >= 1 && rank < 4 && numbers[1] == 4, "only ranks 1 to 3 of 4 are accepted");
      return;
    }
    char byte;
    if (::recv(guest.fd(), &byte, 1, MSG_DONTWAIT) == 0 || (errno != EAGAIN && errno != EINTR)) return;
  }
  promise(false, "every connection is accepted or refused");
}

Strings rendezvous_seeds() {
  std::string greeting(1, 1);
  for (int32_t number : {2, 4}) greeting.append(reinterpret_cast<const char*>(&number), sizeof number);
  return {greeting, std::string(17, 0)};
}

}  // namespace

std::vector<FuzzFamily> run_families() {
  return {
      {"safetensors", "a safetensors file: header, tensors and values", safetensors_entry, safetensors_seeds},
      {"config", "the config of a run, and --set", config_entry, config_seeds},
      {"sweep", "a sweep file, targets.json, config.json of a published model, and entropy.json", sweep_entry,
       sweep_seeds},
      {"run", "a run's metrics.jsonl, starts.jsonl and lock, and its checkpoint's manifest.json and state.json",
       run_entry, run_seeds},
      {"results", "sweep.json of a sweep's folder, and config.json and metrics.jsonl of its runs", results_entry,
       results_seeds},
      {"rendezvous", "the greeting that a rank sends to rank 0", rendezvous_entry, rendezvous_seeds},
  };
}

}  // namespace rowan

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <span>

#include "base/error.h"
#include "base/human.h"
#include "commands/inspect.h"
#include "evaluate/hellaswag.h"

namespace rowan {
namespace {

void show_tokens(const char* name, const std::vector<int32_t>& ids, const Tokenizer* tokenizer, Report& report) {
  report.line(name, "{}", fmt::join(ids, " "));
  if (tokenizer == nullptr) return;
  try {
    report.line("", "{}", shown(tokenizer->decode(ids)));
  } catch (const Error& error) {
    report.wrong("{}", error.what());
  }
}

struct IdRange {
  int64_t smallest = std::numeric_limits<int64_t>::max(), largest = -1, largest_at = 0, ends = 0;
};

// Finds the smallest id, the largest id and its first position, and counts the end tokens, in one pass.
IdRange scan_ids(const Shard& shard) {
  IdRange range;
  std::vector<int32_t> block(1 << 16);
  for (int64_t begin = 0; begin < shard.tokens(); begin += static_cast<int64_t>(block.size())) {
    const int64_t count = std::min(shard.tokens() - begin, static_cast<int64_t>(block.size()));
    shard.copy_tokens(begin, count, block.data());
    for (int64_t i = 0; i < count; ++i) {
      const int64_t id = static_cast<uint32_t>(block[static_cast<size_t>(i)]);
      range.smallest = std::min(range.smallest, id);
      range.ends += id == shard.end_id();
      if (id <= range.largest) continue;
      range.largest = id;
      range.largest_at = begin + i;
    }
  }
  return range;
}

void show_documents(const Shard& shard, Report& report) {
  if (!shard.index()) {
    if (shard.end_id() < 0 || shard.end_place() == shard::EndPlace::none)
      report.line("documents", "unknown: no index beside the file, and no end token is known (--end-id)");
    else
      report.line("documents", "{} found by the end id {}", shard.documents().size(), shard.end_id());
    return;
  }
  try {
    const DocumentIndex index = shard.documents();
    for (int64_t i = 0; i < index.size(); ++i) index.start(i);
    report.line("documents", "{} in {}", index.size(), index.path().filename().string());
  } catch (const Error& error) {
    report.wrong("{}", error.what());
  }
}

}  // namespace

std::string shown(std::string_view text, size_t limit) {
  std::string line;
  for (char c : text.substr(0, limit)) {
    if (c == '\n')
      line += "\\n";
    else if (static_cast<unsigned char>(c) < 32 || c == 127)
      line += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    else
      line += c;
  }
  return text.size() > limit ? line + " ..." : line;
}

void inspect_shard(const std::filesystem::path& path, const InspectOptions& options, Report& report) {
  const Shard shard(path, options.shards);
  const char* writer = shard.checksum() ? ", written by rowan tokenize" : "";
  report.line("kind", "token shard, {}, {} bytes a token{}", name_of(shard.format()), shard.width(), writer);
  report.line("tokens", "{} ({}), {} bytes", shard.tokens(), human_count(static_cast<double>(shard.tokens())),
              shard.file_bytes());
  const IdRange ids = scan_ids(shard);
  if (shard.tokens() > 0) report.line("ids", "{} to {}", ids.smallest, ids.largest);
  if (shard.end_id() >= 0) {
    const char* places[] = {"none written", "before each document", "after each document"};
    report.line("end id", "{} ({}), {} of them", shard.end_id(), places[static_cast<int>(shard.end_place())], ids.ends);
  }
  if (shard.vocab_size() > 0) {
    report.line("vocabulary", "{} ids, tokenizer {:016x}", shard.vocab_size(), shard.tokenizer_hash());
    if (ids.largest >= shard.vocab_size())
      report.wrong("token {}: found id {}, expected less than {}, the vocabulary size", ids.largest_at, ids.largest,
                   shard.vocab_size());
  }
  if (const Tokenizer* tokenizer = options.tokenizer; tokenizer != nullptr && shard.tokens() > 0) {
    if (shard.tokenizer_hash() != 0 && shard.tokenizer_hash() != tokenizer->hash())
      report.wrong("found another tokenizer, expected {} ({:016x})", tokenizer->spec(), tokenizer->hash());
    if (ids.largest >= tokenizer->vocab_size())
      report.wrong("token {}: found id {}, expected less than {}, the vocabulary of {}", ids.largest_at, ids.largest,
                   tokenizer->vocab_size(), tokenizer->spec());
  }
  show_documents(shard, report);
  if (shard.checksum()) {
    const uint64_t found = hash64(shard.token_bytes());
    if (found == *shard.checksum())
      report.line("checksum", "{:016x}, matches", found);
    else
      report.wrong("tokens: found checksum {:016x}, expected {:016x} from the header", found, *shard.checksum());
  }
  std::vector<int32_t> head(static_cast<size_t>(std::min(shard.tokens(), options.head)));
  shard.copy_tokens(0, static_cast<int64_t>(head.size()), head.data());
  show_tokens("head", head, options.tokenizer, report);
  if (shard.tokens() == 0) report.wrong("found no tokens");
}

bool inspect_shards(const std::filesystem::path& folder, const InspectOptions& options, Report& report) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".bin" || entry.path().extension() == ".ds") paths.push_back(entry.path());
  if (paths.empty()) return false;
  std::sort(paths.begin(), paths.end());
  report.line("kind", "folder with {} token shard{}; rowan inspect reads each", paths.size(),
              paths.size() == 1 ? "" : "s");
  for (const std::filesystem::path& path : paths) try {
      report.line("shard", "{}: {} tokens", path.filename().string(), Shard(path, options.shards).tokens());
    } catch (const Error& error) {
      report.wrong("{}", error.what());
    }
  return true;
}

void inspect_hellaswag(const std::filesystem::path& path, const InspectOptions& options, Report& report) {
  report.line("kind", "multiple choice, four endings (HellaSwag)");
  // A .jsonl file holds text; without --tokenizer, the byte tokenizer reads it. llm.c's file holds token ids.
  const auto bytes = make_tokenizer("bytes");
  const bool as_text = options.tokenizer == nullptr && path.extension() == ".jsonl";
  const std::vector<HellaSwagItem> items = read_hellaswag(path, as_text ? bytes.get() : options.tokenizer);
  size_t longest = 0;
  for (const HellaSwagItem& item : items)
    for (const auto& ending : item.endings) longest = std::max(longest, item.context.size() + ending.size());
  report.line("examples", "{}, the longest of {} {}", items.size(), longest, as_text ? "bytes" : "tokens");
  auto show = [&](const char* name, const std::vector<int32_t>& ids) {
    if (as_text)
      report.line(name, "{}", shown(bytes->decode(ids)));
    else
      show_tokens(name, ids, options.tokenizer, report);
  };
  show("context", items.front().context);
  for (const auto& ending : items.front().endings) show("ending", ending);
  report.line("label", "{}", items.front().label);
}

void inspect_tokenizer(const std::string& spec, Report& report) {
  const auto tokenizer = make_tokenizer(spec);
  report.line("kind", "tokenizer, {}", spec.substr(0, spec.find(':')));
  report.line("vocabulary", "{} ids, end id {}, tokenizer {:016x}", tokenizer->vocab_size(), tokenizer->end_id(),
              tokenizer->hash());
  const std::string text = "Hello world, 2026!";
  const std::vector<int32_t> ids = tokenizer->encode(text);
  report.line("example", "\"{}\" is {}", text, fmt::join(ids, " "));
}

}  // namespace rowan

#include "evaluate/hellaswag.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "data/dataset.h"
#include "tokenizer/tokenizer.h"

namespace rowan {
namespace {

constexpr size_t header_bytes = 1024;
constexpr uint16_t item_mark = 65535;
constexpr int32_t gpt2_ids = 50257;

// Reads the u16 stream of the binary file.
class WordReader {
 public:
  WordReader(std::string name, std::string_view bytes) : name_(std::move(name)), bytes_(bytes) {}

  size_t byte() const { return at_; }
  uint16_t word(const char* what) {
    if (bytes_.size() - at_ < 2) fail("{}: byte {}: found the end of the file, expected {}", name_, at_, what);
    uint16_t value;
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }
  uint16_t expect(const char* what, int allowed_first, int allowed_last) {
    const size_t at = at_;
    const uint16_t value = word(what);
    if (value < allowed_first || value > allowed_last)
      fail("{}: byte {}: {}: found {}, expected {}{}", name_, at, what, value, allowed_first,
           allowed_last > allowed_first ? fmt::format(" to {}", allowed_last) : "");
    return value;
  }
  std::vector<int32_t> tokens(const char* what) {
    std::vector<int32_t> ids(word(what));
    for (int32_t& id : ids) id = word(what);
    return ids;
  }
  void skip_header() { at_ = header_bytes; }

 private:
  std::string name_;
  std::string_view bytes_;
  size_t at_ = 0;
};

std::vector<HellaSwagItem> read_binary(const std::string& name, std::string_view bytes) {
  if (bytes.size() < header_bytes)
    fail("{}: found {} bytes, expected at least the {} of an llm.c evaluation header", name, bytes.size(),
         header_bytes);
  int32_t header[3];
  std::memcpy(header, bytes.data(), sizeof header);
  if (header[1] != 1) fail("{}: byte 4: found version {}, expected 1", name, header[1]);
  WordReader reader(name, bytes);
  reader.skip_header();
  std::vector<HellaSwagItem> items;
  for (int32_t i = 0; i < header[2]; ++i) {
    HellaSwagItem& item = items.emplace_back();
    const size_t begin = reader.byte();
    reader.expect("the mark of an example", item_mark, item_mark);
    const size_t length = reader.word("the length of an example");
    reader.expect("the number of an example", i, i);
    item.label = reader.expect("the label", 0, 3);
    reader.expect("the number of endings", 4, 4);
    item.context = reader.tokens("the context");
    for (auto& ending : item.endings) ending = reader.tokens("an ending");
    if (reader.byte() - begin != length)
      fail("{}: byte {}: example {}: found {} bytes, expected {} as in its length field", name, begin, i,
           reader.byte() - begin, length);
  }
  if (reader.byte() != bytes.size())
    fail("{}: byte {}: found {} bytes after the last of {} examples", name, reader.byte(), bytes.size() - reader.byte(),
         header[2]);
  return items;
}

// The label is a number, or in some copies of the data set a string with one digit. If there is no valid label, returns
// a number outside 0 to 3.
int label_of(const Json& record) {
  if (!record.contains("label")) return -1;
  const Json& label = record["label"];
  if (label.is_number_integer()) return static_cast<int>(std::clamp<int64_t>(label.get<int64_t>(), -1, 4));
  if (!label.is_string() || label.get<std::string>().size() != 1) return -1;
  return label.get<std::string>()[0] - '0';
}

std::vector<HellaSwagItem> read_jsonl(const std::string& name, std::string_view text, const Tokenizer* tokenizer) {
  std::vector<HellaSwagItem> items;
  for (int line = 1; !text.empty(); ++line) {
    const std::string_view content = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), content.size() + 1));
    if (content.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const Json record = try_parse_json(content);
    auto is_text = [](const Json& value) { return value.is_string(); };
    if (!record.is_object() || !record.contains("ctx") || !record["ctx"].is_string() || !record.contains("endings") ||
        !record["endings"].is_array() || record["endings"].size() != 4 ||
        !std::all_of(record["endings"].begin(), record["endings"].end(), is_text) || label_of(record) < 0 ||
        label_of(record) > 3)
      fail("{}:{}: found no HellaSwag record, expected ctx (a string), endings (four strings) and label (0 to 3)", name,
           line);
    if (tokenizer == nullptr) fail("{}: HellaSwag as text needs a tokenizer", name);
    HellaSwagItem& item = items.emplace_back();
    const std::string context = record["ctx"].get<std::string>();
    item.context = tokenizer->encode(context);
    // An ending is not encoded alone, because many tokenizers put a space before each text.
    for (size_t e = 0; e < 4; ++e) {
      const std::vector<int32_t> all = tokenizer->encode(context + " " + record["endings"][e].get<std::string>());
      item.endings[e].assign(all.begin() + static_cast<std::ptrdiff_t>(std::min(item.context.size(), all.size())),
                             all.end());
    }
    item.label = label_of(record);
  }
  return items;
}

// Writes context and ending as one row, in which only the ending's tokens are targets. Returns the number of targets.
int64_t write_row(const HellaSwagItem& item, size_t ending, int64_t T, int32_t* inputs, int32_t* targets) {
  const std::vector<int32_t>& end = item.endings[ending];
  const size_t room = static_cast<size_t>(T) + 1 - end.size();
  std::vector<int32_t> row = item.context;
  if (row.size() > room) row.erase(row.begin(), row.end() - static_cast<std::ptrdiff_t>(room));
  const size_t context = row.size();
  row.insert(row.end(), end.begin(), end.end());
  int64_t count = 0;
  for (size_t i = 0; i + 1 < row.size(); ++i) {
    inputs[i] = row[i];
    if (i + 1 < context) continue;
    targets[i] = row[i + 1];
    ++count;
  }
  return count;
}

}  // namespace

std::vector<HellaSwagItem> read_hellaswag(const std::filesystem::path& path, const Tokenizer* tokenizer) {
  const MappedFile file(path);
  const std::string name = path.string();
  int32_t magic = 0;
  if (file.size() >= sizeof magic) std::memcpy(&magic, file.data(), sizeof magic);
  const bool binary = magic == hellaswag_magic;
  if (binary && tokenizer && tokenizer->vocab_size() != gpt2_ids)
    fail(
        "{}: found ids of GPT-2, expected ids of the tokenizer {}, which has {} instead of {}; the data set's own "
        ".jsonl works with every tokenizer",
        name, tokenizer->spec(), tokenizer->vocab_size(), gpt2_ids);
  std::vector<HellaSwagItem> items = binary ? read_binary(name, file.text()) : read_jsonl(name, file.text(), tokenizer);
  if (items.empty()) fail("{}: found no examples", name);
  return items;
}

std::vector<HellaSwagItem> read_hellaswag(const std::filesystem::path& path, const Tokenizer* tokenizer,
                                          int64_t sequence_length, int64_t vocab_size, int32_t ids_of_shards) {
  std::vector<HellaSwagItem> items = read_hellaswag(path, tokenizer);
  if (tokenizer == nullptr && ids_of_shards > 0 && ids_of_shards != gpt2_ids)  // without a tokenizer the file is binary
    fail(
        "{}: found ids of GPT-2, expected ids of the shards' tokenizer, which has {} instead of {}; name the tokenizer "
        "in the config and use the data set's own .jsonl",
        path.string(), ids_of_shards, gpt2_ids);
  for (size_t i = 0; i < items.size(); ++i) {
    auto check_ids = [&](const std::vector<int32_t>& ids) {
      for (int32_t id : ids)
        if (id < 0 || id >= vocab_size)
          fail("{}: example {}: found id {}, expected less than {}, the vocabulary size", path.string(), i, id,
               vocab_size);
    };
    if (items[i].context.empty()) fail("{}: example {}: found no context", path.string(), i);
    check_ids(items[i].context);
    for (const std::vector<int32_t>& ending : items[i].endings) {
      if (ending.empty() || static_cast<int64_t>(ending.size()) > sequence_length)
        fail("{}: example {}: found an ending of {} tokens, expected 1 to {} with this sequence length", path.string(),
             i, ending.size(), sequence_length);
      check_ids(ending);
    }
  }
  return items;
}

int64_t length_for(const std::vector<HellaSwagItem>& items, int64_t sequence_length) {
  size_t longest = 0;
  for (const HellaSwagItem& item : items)
    for (const std::vector<int32_t>& ending : item.endings)
      longest = std::max(longest, item.context.size() + ending.size() - 1);  // the last token is no input
  return std::min(sequence_length, (static_cast<int64_t>(longest) + 15) / 16 * 16);
}

double HellaSwagScore::share(int64_t correct) const {
  if (undefined > 0) return std::numeric_limits<double>::quiet_NaN();
  return items ? static_cast<double>(correct) / static_cast<double>(items) : 0;
}

HellaSwagScore score_hellaswag(const std::vector<HellaSwagItem>& items, int64_t batch, int64_t sequence_length,
                               const BatchLosses& losses, int rank, int ranks) {
  const int64_t T = sequence_length, total = static_cast<int64_t>(items.size());
  const int64_t share = (total + ranks - 1) / ranks, first = std::min(total, rank * share);
  const int64_t rows = 4 * (std::min(total, first + share) - first);
  std::vector<int32_t> inputs(static_cast<size_t>(batch * T)), targets(inputs.size());
  std::vector<float> result(inputs.size());
  std::vector<double> sum(static_cast<size_t>(rows)), mean(sum.size());
  std::vector<int64_t> counts(static_cast<size_t>(batch));
  for (int64_t begin = 0; begin < 4 * share; begin += batch) {
    std::fill(inputs.begin(), inputs.end(), 0);
    std::fill(targets.begin(), targets.end(), ignored_target);
    const int64_t used = std::clamp<int64_t>(rows - begin, 0, batch);
    for (int64_t i = 0; i < used; ++i)
      counts[static_cast<size_t>(i)] =
          write_row(items[static_cast<size_t>(first + (begin + i) / 4)], static_cast<size_t>((begin + i) % 4), T,
                    &inputs[static_cast<size_t>(i * T)], &targets[static_cast<size_t>(i * T)]);
    losses(inputs.data(), targets.data(), result.data());
    for (int64_t i = 0; i < used; ++i) {
      double total_loss = 0;
      for (int64_t t = 0; t < T; ++t) total_loss += result[static_cast<size_t>(i * T + t)];
      sum[static_cast<size_t>(begin + i)] = total_loss;
      mean[static_cast<size_t>(begin + i)] = total_loss / static_cast<double>(counts[static_cast<size_t>(i)]);
    }
  }
  HellaSwagScore score;
  score.items = rows / 4;
  for (int64_t i = 0; i < score.items; ++i) {
    auto chosen = [&](const std::vector<double>& loss) {
      const auto of_item = loss.begin() + 4 * i;
      return std::min_element(of_item, of_item + 4) - of_item;
    };
    score.undefined +=
        std::any_of(sum.begin() + 4 * i, sum.begin() + 4 * i + 4, [](double loss) { return !std::isfinite(loss); });
    const int label = items[static_cast<size_t>(first + i)].label;
    score.correct_by_mean += chosen(mean) == label;
    score.correct_by_sum += chosen(sum) == label;
  }
  return score;
}

}  // namespace rowan

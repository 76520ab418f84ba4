#include "train/trainer.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>

#include "base/error.h"
#include "base/files.h"
#include "base/mapped_guard.h"
#include "base/timeline.h"
#include "comm/communicator.h"
#include "data/overlap.h"
#include "evaluate/bits_per_byte.h"
#include "evaluate/evaluate.h"
#include "kernels/backend.h"
#include "run/tokenizer_match.h"
#include "tokenizer/tokenizer.h"
#include "train/divergence.h"
#include "train/layer_norms.h"
#include "train/micro_batch.h"
#include "train/model_options.h"
#include "train/update_costs.h"

namespace rowan {
namespace {

// step() throws Error after this many non-finite gradients in a row, because training is then unlikely to recover.
constexpr int most_not_finite = 10;

// Loads the config's tokenizer, if any, so that a missing tokenizer, or one with too many ids, is found at the start.
std::unique_ptr<Tokenizer> fitting_tokenizer(const TrainConfig& config) {
  if (config.tokenizer.empty()) return nullptr;
  std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(config.tokenizer);
  if (tokenizer->vocab_size() > config.model.vocabulary)
    fail("tokenizer: {}: found {} ids, expected at most {}, the model's vocabulary", config.tokenizer,
         tokenizer->vocab_size(), config.model.vocabulary);
  return tokenizer;
}

// Identifies a recorded pass by the arguments that can differ between passes.
struct PassKey {
  float scale;
  bool accumulate;

  uint64_t packed() const { return uint64_t{std::bit_cast<uint32_t>(scale)} << 1 | uint64_t{accumulate}; }
};

// Training data, validation data and the config must use the same tokenizer, because another tokenizer gives the ids
// other meanings. A tokenizer that is not known is not compared.
void check_tokenizers(const TrainConfig& config, const Tokenizer* tokenizer, uint64_t train,
                      const ValidationSet* validation) {
  const std::string shards = "the shards of data.train";
  if (tokenizer) check_same_tokenizer(train, shards, tokenizer->hash(), config.tokenizer);
  if (validation == nullptr) return;
  const Shard& shard = validation->data().tokenizer_shard();
  const std::string name = "data.validation: " + shard.path().string();
  check_same_tokenizer(shard.tokenizer_hash(), name, train, shards);
  if (tokenizer) check_same_tokenizer(shard.tokenizer_hash(), name, tokenizer->hash(), config.tokenizer);
}

// Shards that do not name their tokenizer must at least have ids of the config's tokenizer, which may have fewer ids
// than the model.
void check_ids_of_tokenizer(const TrainConfig& config, const Tokenizer& tokenizer, const BatchSource& batches,
                            const ValidationSet* validation) {
  if (tokenizer.vocab_size() == config.model.vocabulary) return;  // checked already
  const std::string what = "the number of ids of " + config.tokenizer;
  for (const Dataset& corpus : batches.corpora()) corpus.look_through(tokenizer.vocab_size(), what);
  if (validation) validation->data().look_through(tokenizer.vocab_size(), what);
}

std::string checksum_of(const std::vector<HellaSwagItem>& items) {
  Hash64 hash;
  const auto add = [&](const std::vector<int32_t>& ids) {
    const size_t count = ids.size();
    hash.add(&count, sizeof count);
    hash.add(ids.data(), count * sizeof(int32_t));
  };
  for (const HellaSwagItem& item : items) {
    add(item.context);
    for (const std::vector<int32_t>& ending : item.endings) add(ending);
    hash.add(&item.label, sizeof item.label);
  }
  return fmt::format("{:016x}", hash.value());
}

}  // namespace

Trainer::Trainer(const TrainConfig& config, Backend& backend, Communicator& communicator)
    : config_(config),
      backend_(backend),
      communicator_(communicator),
      batches_(config.data, config.batch.sequence_length, config.run.seed, config.model.vocabulary),
      model_(backend, config.model, model_options(config, communicator.size(), batches_.end_id())),
      sharding_(communicator, backend, model_, update_costs(config.optimizer, model_.parameters(), config.precision),
                config.shard, config.reduce, config.precision == TrainPrecision::bf16),
      optimizer_(backend, config.optimizer, sharding_.shares(), config.run.seed),
      averages_(backend, config.average, config.run.steps, sharding_.shares()),
      data_(backend, Category::data),
      micro_steps_(micro_steps(config.batch, communicator.size())),
      losses_(config.skip.window),
      grad_norms_(config.skip.window) {
  if (config.precision == TrainPrecision::tf32) backend.allow_tf32();
  const int64_t n = model_.options().batch * config.batch.sequence_length;
  tokens_ = data_.take(DType::i32, {n});
  targets_ = data_.take(DType::i32, {n});
  loss_sum_ = data_.take(DType::f32, {1});
  if (!config.data.validation.empty())
    validation_ = std::make_unique<ValidationSet>(config.data, config.batch.sequence_length, config.model.vocabulary,
                                                  config.run.eval_tokens ? config.run.eval_tokens : INT64_MAX);
  const std::unique_ptr<Tokenizer> tokenizer = fitting_tokenizer(config);
  check_tokenizers(config, tokenizer.get(), batches_.tokenizer_hash(), validation_.get());
  if (tokenizer) check_ids_of_tokenizer(config, *tokenizer, batches_, validation_.get());
  tokenizer_hash_ = batches_.tokenizer_hash();
  if (tokenizer_hash_ == 0 && tokenizer) tokenizer_hash_ = tokenizer->hash();
  if (validation_ && tokenizer) validation_bytes_ = text_of_targets(*validation_, *tokenizer).bytes;
  if (!config.data.hellaswag.empty())
    hellaswag_ = read_hellaswag(config.data.hellaswag, tokenizer.get(), config.batch.sequence_length,
                                config.model.vocabulary, batches_.tokenizer_shard().vocab_size());
  sharding_.initialize(config.run.seed);
  largest_loss_ = std::log(static_cast<double>(config.model.vocabulary));
  start_prefetch();
}

const Timeline& Trainer::timeline() const { return backend_.timeline(); }

std::vector<std::string> Trainer::shared_shards() const {
  return rowan::shared_shards(batches_.corpora(), validation_ ? &validation_->data() : nullptr);
}

Json Trainer::validation_shards() const { return validation_ ? shard_fingerprints(validation_->data()) : Json(); }

Json Trainer::data_read() const {
  return {{"train", batches_.fingerprint()},
          {"validation", validation_shards()},
          {"hellaswag", hellaswag_.empty() ? Json() : Json(checksum_of(hellaswag_))}};
}

int64_t Trainer::first_sample(int64_t step, int64_t micro) const {
  return step * config_.batch.sequences +
         (micro * communicator_.size() + communicator_.rank()) * model_.options().batch;
}

// With dropout, uploads the indices of the samples, from which dropout masks are computed.
void Trainer::upload_samples(int64_t first) {
  if (model_.samples().empty()) return;
  std::vector<int32_t> numbers;
  for (int64_t sample = first; sample < first + model_.options().batch; ++sample) {
    numbers.push_back(static_cast<int32_t>(sample & 0xffffffff));
    numbers.push_back(static_cast<int32_t>(sample >> 32));
  }
  backend_.upload(model_.samples(), numbers.data());
}

// Item i of this rank's prefetcher is micro-step i % micro_steps_ of step i / micro_steps_, both counted from 0. In a
// micro-step, consecutive ranks take consecutive micro-batches.
void Trainer::start_prefetch() {
  auto fill = [this](int64_t item, int32_t* inputs, int32_t* targets) {
    batches_.fill(first_sample(item / micro_steps_, item % micro_steps_), model_.options().batch, inputs, targets);
    check_mapped_files();
  };
  prefetcher_.reset();
  prefetcher_ = std::make_unique<Prefetcher>(fill, steps_done_ * micro_steps_, tokens_.numel());
}

bool Trainer::asked_to_stop() {
  if (!wishes_) return false;
  const double mine = wishes_().stop || !data_error_.empty();
  return (communicator_.size() == 1 ? mine : communicator_.sum({mine})[0]) > 0;
}

// Runs `read`, which reads data of the step or of an evaluation. Returns false if the data cannot be read. With one
// rank, throws DataError instead. Several ranks wait for each other's messages, so this rank takes part in the step or
// the evaluation until the next sum over the ranks tells all of them.
bool Trainer::read_data(const std::function<void()>& read) {
  try {
    read();
    return true;
  } catch (const Error& error) {
    if (communicator_.size() == 1) throw DataError(error.what());
    data_error_ = error.what();
    return false;
  }
}

// Throws DataError on all ranks if some rank could not read its data. All ranks must call this function.
void Trainer::check_data_read() {
  try {
    run_on_all_ranks(communicator_, [this] {
      if (!data_error_.empty()) throw Error(data_error_);
    });
  } catch (const AgreedError& error) {
    throw DataError(error.what());
  }
}

StepResult Trainer::step() {
  const auto begin = std::chrono::steady_clock::now();
  const Timeline::Span span(backend_.timeline(), fmt::format("step {}", steps_done_ + 1));
  RowCount count;
  read_data([&] { count = batches_.count(steps_done_ * config_.batch.sequences, config_.batch.sequences); });
  const auto [inputs, targets] = count;
  const float scale = targets ? 1.0f / static_cast<float>(targets) : 0.0f;
  sharding_.begin_step();
  for (int64_t micro = 0; micro < micro_steps_; ++micro) {
    if (micro > 0 && micro % micro_steps_between_looks_ == 0 && asked_to_stop()) {
      sharding_.abandon_step();
      check_data_read();
      start_prefetch();
      throw Stopped();
    }
    {
      const Timeline::Phase phase(backend_.timeline(), "data");
      Prefetcher::Batch batch;
      if (read_data([&] { batch = prefetcher_->next(); })) {
        backend_.upload(tokens_, batch.inputs);
        backend_.upload(targets_, batch.targets);
      } else {  // any valid ids: the step ends without an update
        backend_.zero(tokens_);
        backend_.zero(targets_);
      }
      upload_samples(first_sample(steps_done_, micro));
    }
    sharding_.begin_micro_step(micro + 1 == micro_steps_);
    auto pass = [&] {
      const bool accumulate = micro > 0;
      backend_.sum(loss_sum_, model_.loss_and_gradients(tokens_, targets_, scale, accumulate), accumulate);
    };
    if (communicator_.size() == 1)  // the pass has no communication, so it can be recorded and replayed
      backend_.repeat(this, PassKey{.scale = scale, .accumulate = micro > 0}.packed(), pass);
    else
      pass();
  }
  auto messages = std::make_optional<Timeline::Phase>(backend_.timeline(), "messages");
  sharding_.finish_gradients();

  const Wishes mine = wishes_ ? wishes_() : Wishes();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  const StepTotals totals = sharding_.sum_over_ranks(
      loss_sum_, {double(mine.stop), double(mine.save), seconds.count(), double(!data_error_.empty())},
      optimizer_.sums());
  messages.reset();
  if (totals.more[3] > 0) check_data_read();
  // With several ranks, a check for requests to stop costs a message. So if micro-batches are short, a check is made
  // only about every 0.25 seconds.
  if (communicator_.size() > 1)
    micro_steps_between_looks_ = std::max<int64_t>(
        1, static_cast<int64_t>(0.25 * static_cast<double>(communicator_.size() * micro_steps_) / totals.more[2]));

  StepResult result;
  // Neither is negative, but a NaN may have a sign, which messages would show.
  result.loss = std::abs(totals.loss / static_cast<double>(std::max<int64_t>(targets, 1)));
  result.grad_norm = std::abs(std::sqrt(totals.gradient_squares));
  const Pace pace = config_.schedule.pace(steps_done_);
  result.lr = config_.optimizer.rates().main * pace.rate;
  result.stop = totals.more[0] > 0;
  result.save = totals.more[1] > 0;
  result.skipped = reason_to_skip(result);
  norms_.clear();
  if (result.skipped.empty()) {
    double clip = 1;
    if (config_.grad_clip > 0) clip = std::min(1.0, config_.grad_clip / (result.grad_norm + 1e-6));
    std::optional<LayerNorms> norms;
    if (on_log_steps(steps_done_ + 1, config_.run.norms_every))
      norms.emplace(backend_, sharding_.shares(), sharding_.shares_count(), model_.weight_placement().blocks());
    {
      const Timeline::Phase phase(backend_.timeline(), "optimizer");
      optimizer_.step(steps_done_, pace, static_cast<float>(clip), totals.of_parameters);
      averages_.update(steps_done_ + 1);
    }
    if (norms) norms_ = norms->after(communicator_);
    const Timeline::Phase phase(backend_.timeline(), "messages");
    sharding_.weights_changed();
  }
  ++steps_done_;
  unpadded_tokens_ += inputs;
  last_loss_ = result.loss;
  if (steps_done_ == 1 && std::isfinite(result.loss)) largest_loss_ = std::max(largest_loss_, result.loss);
  return result;
}

std::string Trainer::reason_to_skip(const StepResult& result) {
  if (!std::isfinite(result.grad_norm)) {
    if (++not_finite_in_a_row_ == most_not_finite)
      fail_on_all("step {}: {} {} updates in a row; lower the learning rate, or set grad_clip", steps_done_ + 1,
                  says_not_finite, most_not_finite);
    return "the gradient is not finite";
  }
  not_finite_in_a_row_ = 0;
  const SkipConfig& skip = config_.skip;
  const double loss_score = skip.loss_zscore > 0 ? losses_.add(result.loss) : 0;
  const double norm_score = skip.grad_norm_zscore > 0 ? grad_norms_.add(result.grad_norm) : 0;
  auto text = [&](const char* what, double value, double score) {
    return fmt::format("the {} {:.4g} is {:.1f} standard deviations above the mean of its last {} values", what, value,
                       score, skip.window);
  };
  if (loss_score > skip.loss_zscore) return text("loss", result.loss, loss_score);
  if (norm_score > skip.grad_norm_zscore) return text("gradient norm", result.grad_norm, norm_score);
  return "";
}

ValidationLosses Trainer::evaluate_weights(const std::function<void(double)>& done) {
  const int64_t a_batch = model_.options().batch * communicator_.size();
  int64_t begun = 0;
  const auto stop_if_asked = [&] {
    if (asked_to_stop()) throw Stopped();
    if (done) done(static_cast<double>(begun++ * a_batch) / static_cast<double>(validation_->rows()));
  };
  std::vector<double> sums;
  try {
    sums = row_losses(backend_, model_, *validation_, communicator_.rank(), communicator_.size(), stop_if_asked,
                      [this](const std::function<void()>& read) { return read_data(read); });
  } catch (const Stopped&) {
    check_data_read();
    throw;
  }
  sums.push_back(data_error_.empty() ? 0 : 1);
  sums = communicator_.sum(sums);
  if (sums.back() > 0) check_data_read();
  sums.pop_back();
  return validation_losses(*validation_, sums);
}

std::optional<ValidationLosses> Trainer::validate(const std::function<void(double)>& done) {
  if (!validation_) return {};
  return evaluate_weights(done);
}

std::vector<std::pair<std::string, double>> Trainer::validate_averages() {
  std::vector<std::pair<std::string, double>> losses;
  if (!validation_) return losses;
  auto put_back = [this] {
    sharding_.settle_weights();
    averages_.hide();
    sharding_.weights_changed();
  };
  for (const Averages::Average& average : averages_.all()) {
    if (average.count == 0) continue;
    sharding_.settle_weights();
    averages_.show(average);
    sharding_.weights_changed();
    try {
      losses.emplace_back(average.name, evaluate_weights().mean);
    } catch (const Stopped&) {
      put_back();
      throw;
    } catch (const DataError&) {
      put_back();
      throw;
    }
    put_back();
  }
  return losses;
}

std::optional<HellaSwagScore> Trainer::hellaswag() {
  if (hellaswag_.empty()) return {};
  BatchEvaluator evaluator(backend_, model_);
  auto losses_of = [&](const int32_t* inputs, const int32_t* targets, float* losses) {
    if (asked_to_stop()) throw Stopped();
    evaluator(inputs, targets, losses);
  };
  const HellaSwagScore mine = score_hellaswag(hellaswag_, model_.options().batch, config_.batch.sequence_length,
                                              losses_of, communicator_.rank(), communicator_.size());
  std::vector<double> sums = {static_cast<double>(mine.items), static_cast<double>(mine.correct_by_mean),
                              static_cast<double>(mine.correct_by_sum), static_cast<double>(mine.undefined)};
  sums = communicator_.sum(sums);
  return HellaSwagScore{static_cast<int64_t>(sums[0]), static_cast<int64_t>(sums[1]), static_cast<int64_t>(sums[2]),
                        static_cast<int64_t>(sums[3])};
}

}  // namespace rowan

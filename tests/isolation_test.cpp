// A prompt's neighbours never change its result.

#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <functional>

#include "prepack/packed_batch.h"
#include "prepack/prefill.h"
#include "support/all_close.h"
#include "support/catch.h"
#include "support/random.h"
#include "support/reference.h"
#include "support/tiny_model.h"
#include "support/tolerances.h"
#include "support/varlen.h"

namespace prepack {
namespace {

using testing::AllClose;
using testing::BitEqual;
using testing::prefill_variants;
using testing::Random;
using testing::random_model;
using testing::tiny_configs;
using testing::tolerance;
using testing::varlen_attention;

int64_t longest_of(const std::vector<TokenIds>& prompts) {
  return static_cast<int64_t>(std::ranges::max(prompts, {}, &TokenIds::size).size());
}

/// Other tokens in every prompt but one.
std::vector<TokenIds> change_neighbours(const std::vector<TokenIds>& prompts, size_t kept,
                                        int64_t vocab_size, Random& random) {
  auto changed = prompts;
  for (size_t i = 0; i < changed.size(); ++i) {
    if (i == kept) continue;
    for (auto& id : changed[i]) {
      id = static_cast<TokenId>((id + random.integer(1, vocab_size - 1)) % vocab_size);
    }
  }
  return changed;
}

void check_neighbours_tokens(const Model& model, const std::vector<TokenIds>& prompts,
                             const PrefillOptions& options, const std::vector<size_t>& kept_ones) {
  Random random(1);
  const int64_t capacity = longest_of(prompts);
  const auto before = prefill(model, prompts, options, capacity);
  for (size_t kept : kept_ones) {
    const auto changed = change_neighbours(prompts, kept, model.config().vocab_size, random);
    const auto after = prefill(model, changed, options, capacity);
    const auto row = static_cast<int64_t>(kept);
    const auto length = before.lengths[kept];
    INFO("prompt " << kept);
    CHECK_THAT(after.logits[row], BitEqual(before.logits[row]));
    CHECK_THAT(testing::cache_row(after.cache, row, length),
               BitEqual(testing::cache_row(before.cache, row, length)));
    // The probe does change the others.
    const auto other = row == 0 ? 1 : 0;
    CHECK(testing::max_difference(after.logits[other], before.logits[other]) > 1e-2);
  }
}

/// A prompt amid neighbours of other numbers and lengths.
void check_neighbours_lengths(const Model& model, const TokenIds& prompt, int64_t longest,
                              int num_trials) {
  Random random(2);
  const auto capacity = std::max(longest, static_cast<int64_t>(prompt.size()));
  const auto alone = prefill(model, {&prompt, 1}, {}, capacity);
  const auto length = alone.lengths[0];
  for (int trial = 0; trial < num_trials; ++trial) {
    auto prompts = random.prompts(random.integers(random.integer(1, 8), 1, longest),
                                  model.config().vocab_size);
    const auto row = random.integer(0, static_cast<int64_t>(prompts.size()));
    prompts.insert(prompts.begin() + row, prompt);
    for (auto method :
         {PrefillMethod::kPacked, PrefillMethod::kPackedRows, PrefillMethod::kPadded}) {
      INFO(to_string(method) << ", row " << row << " of " << prompts.size());
      const auto state = prefill(model, prompts, {.method = method}, capacity);
      const double scale = std::max(1.0, alone.logits.abs().max().item<double>());
      CHECK_THAT(state.logits[row],
                 AllClose(alone.logits[0], scale * tolerance(DType::kFloat32).neighbours));
      const auto expected = testing::cache_row(alone.cache, 0, length);
      CHECK_THAT(testing::cache_row(state.cache, row, length),
                 AllClose(expected, std::max(1.0, expected.abs().max().item<double>()) *
                                        tolerance(DType::kFloat32).neighbours));
    }
  }
}

TEST_CASE("other tokens in every other prompt change nothing by a single bit", "[isolation]") {
  Random random(3);
  for (const auto& config : tiny_configs()) {
    const auto model = random_model(config);
    const auto prompts = random.prompts({5, 31, 1, 12, 12, 1, 8, 25, 70}, config.vocab_size);
    for (const auto& [name, options] : prefill_variants(prompts)) {
      INFO(config.num_heads << " heads, " << name);
      check_neighbours_tokens(model, prompts, options, {0, 1, 2, 3, 4, 5, 6, 7, 8});
    }
  }
}

TEST_CASE("other numbers and lengths of neighbours change next to nothing", "[isolation]") {
  Random random(4);
  for (const auto& config : tiny_configs()) {
    const auto model = random_model(config);
    for (int64_t length : {1, 2, 19, 64}) {
      CAPTURE(config.num_heads, length);
      check_neighbours_lengths(model, random.tokens(length, config.vocab_size), 70, 5);
    }
  }
}

TEST_CASE("on the default model other tokens change nothing by a single bit",
          "[isolation][default-model]") {
  const auto reference = testing::default_reference();
  if (!reference) return;
  const auto& model = testing::load_once(*reference);
  const std::vector<TokenIds> prompts(reference->prompts.begin(), reference->prompts.begin() + 8);
  for (auto method : {PrefillMethod::kPacked, PrefillMethod::kPackedRows, PrefillMethod::kPadded}) {
    INFO(to_string(method));
    check_neighbours_tokens(model, prompts, {.method = method}, {0, 6});
  }
}

TEST_CASE("on the default model other numbers and lengths change next to nothing",
          "[isolation][default-model]") {
  const auto reference = testing::default_reference();
  if (!reference) return;
  check_neighbours_lengths(testing::load_once(*reference), reference->prompts[2], 60, 2);
}

// The same probe on batches that are wrong on purpose, to prove that it can fail.

struct WrongBatch {
  PackedBatch batch;
  AttentionSpec attention;
  at::Tensor position_ids;
};

/// The logits after the last token of the second of two prompts in one row.
at::Tensor second_logits(const Model& model, const std::vector<TokenIds>& prompts,
                         const std::function<void(WrongBatch&)>& spoil) {
  const std::vector<std::vector<int64_t>> bins = {{0, 1}};
  WrongBatch wrong{make_packed_batch(prompts, bins, BatchLayout::kFlat), {}, {}};
  wrong.attention = varlen_attention(wrong.batch.cu_seqlens);
  wrong.position_ids = wrong.batch.position_ids.flatten();
  spoil(wrong);
  const int64_t num_tokens = wrong.batch.num_prompt_tokens();
  KvCache cache(model.config(), 1, num_tokens, DType::kFloat32, at::kCPU);
  const auto hidden =
      model.forward({.input_ids = wrong.batch.input_ids.flatten(),
                     .position_ids = wrong.position_ids,
                     .attention = wrong.attention,
                     .cache_slots = {{}, at::arange(num_tokens, at::kLong)},
                     .sequence_lens = testing::sequence_lens(wrong.batch.cu_seqlens)},
                    cache);
  return model.compute_logits(hidden.narrow(0, num_tokens - 1, 1))[0];
}

/// How far the second prompt's logits move when the first prompt's tokens change.
double leakage(const Model& model, const std::function<void(WrongBatch&)>& spoil) {
  Random random(5);
  const auto prompts = random.prompts({9, 6}, model.config().vocab_size);
  const auto changed = change_neighbours(prompts, 1, model.config().vocab_size, random);
  return testing::max_difference(second_logits(model, prompts, spoil),
                                 second_logits(model, changed, spoil));
}

TEST_CASE("the probe sees no leak in a right batch, and one in each kind of wrong one",
          "[isolation]") {
  for (const auto& config : tiny_configs()) {
    CAPTURE(config.num_heads);
    const auto model = random_model(config);
    CHECK(leakage(model, [](WrongBatch&) {}) == 0);
    CHECK(leakage(model, [](WrongBatch& wrong) {
            wrong.attention = MaskedAttention{independent_mask(wrong.batch.segment_ids)};
          }) == 0);
    CHECK(leakage(model, [](WrongBatch& wrong) {  // the boundary is lost
            wrong.attention = varlen_attention(std::vector<int64_t>{15});
          }) > 1e-2);
    CHECK(leakage(model, [](WrongBatch& wrong) {  // the boundary is one token off
            wrong.attention = varlen_attention(std::vector<int64_t>{8, 7});
          }) > 1e-2);
    CHECK(leakage(model, [](WrongBatch& wrong) {  // a plain causal mask
            const auto places = at::arange(15, at::kLong);
            wrong.attention =
                MaskedAttention{places.unsqueeze(0).le(places.unsqueeze(1)).view({1, 1, 15, 15})};
          }) > 1e-2);
  }
}

TEST_CASE("positions that jump within a segment change its logits", "[isolation]") {
  // Positions that run on from the segment before would not: only distances matter to RoPE.
  const auto model = random_model(tiny_configs().front());
  Random random(6);
  const auto prompts = random.prompts({9, 6}, 61);
  const auto right = second_logits(model, prompts, [](WrongBatch&) {});
  const auto jumping = second_logits(model, prompts, [](WrongBatch& wrong) {
    wrong.position_ids = wrong.position_ids.clone();
    wrong.position_ids.narrow(0, 12, 3).add_(5);
  });
  CHECK(testing::max_difference(right, jumping) > 1e-2);
}

}  // namespace
}  // namespace prepack

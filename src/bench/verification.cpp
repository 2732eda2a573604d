#include "bench/verification.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "prepack/decode.h"

namespace prepack::bench {
namespace {

/// Copies the prompt in a row of one state to a row of another.
void copy_row(const DecodeState& from, int64_t from_row, DecodeState& to, int64_t to_row) {
  const int64_t length = from.lengths.at(from_row);
  for (int64_t layer = 0; layer < from.cache.num_layers(); ++layer) {
    to.cache.keys(layer, to.cache.num_rows(), length)
        .select(0, to_row)
        .copy_(from.cache.keys(layer, from.cache.num_rows(), length).select(0, from_row));
    to.cache.values(layer, to.cache.num_rows(), length)
        .select(0, to_row)
        .copy_(from.cache.values(layer, from.cache.num_rows(), length).select(0, from_row));
  }
  to.logits[to_row].copy_(from.logits[from_row]);
  to.lengths.at(to_row) = length;
}

DecodeState empty_state(const Model& model, int64_t num_rows, int64_t cache_capacity) {
  const auto& config = model.config();
  return {
      .cache = KvCache(config, num_rows, cache_capacity, model.dtype(), model.device()),
      .lengths = std::vector<int64_t>(num_rows),
      .logits = at::empty({num_rows, config.vocab_size},
                          at::TensorOptions().dtype(at::kFloat).device(model.device())),
  };
}

DecodeRequest greedy_request(const ModelConfig& config, const GenerationRequest& request) {
  const auto prompt_len = static_cast<int64_t>(request.prompt_ids.size());
  return {
      .sampler = Sampler({}, 0, request.prompt_ids),
      // The last token takes no slot.
      .max_new_tokens = cache_capacity(config, {&request, 1}) - prompt_len + 1,
      .stop_ids = request.ignore_eos ? std::vector<TokenId>{} : config.eos_token_ids,
  };
}

/// The greedy text of each row; none at all where a logit is not a number, from which nothing can
/// be drawn.
std::vector<TokenIds> greedy_texts(const Model& model, DecodeState state,
                                   std::span<const GenerationRequest> requests) {
  std::vector<TokenIds> texts(requests.size());
  if (!state.logits.isfinite().all().item<bool>()) return texts;
  std::vector<DecodeRequest> decode_requests;
  for (const auto& request : requests) {
    decode_requests.push_back(greedy_request(model.config(), request));
  }
  const auto decoded = decode(model, std::move(state), decode_requests);
  for (size_t i = 0; i < texts.size(); ++i) texts[i] = decoded[i].token_ids;
  return texts;
}

/// What each prompt of a batch gives when it runs alone.
struct AloneRuns {
  std::vector<TokenIds> prompts;
  DecodeState state;
  std::vector<TokenIds> texts;
};

AloneRuns run_alone(const Model& model, std::span<const GenerationRequest> requests,
                    const RunObserver& on_runs) {
  std::vector<TokenIds> prompts;
  int64_t longest = 0;
  for (const auto& request : requests) {
    prompts.push_back(request.prompt_ids);
    longest = std::max(longest, static_cast<int64_t>(request.prompt_ids.size()));
  }
  AloneRuns alone{prompts, empty_state(model, static_cast<int64_t>(prompts.size()), longest), {}};
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto request = requests.subspan(i, 1);
    auto state = prefill_alone(model, {&prompts[i], 1}, cache_capacity(model.config(), request));
    copy_row(state, 0, alone.state, static_cast<int64_t>(i));
    alone.texts.push_back(greedy_texts(model, std::move(state), request).front());
    if (on_runs) on_runs(1);
  }
  return alone;
}

/// Between the two largest logits of a prompt alone after the first `num_tokens` of its own text.
double top_gap(const Model& model, TokenIds prompt, const TokenIds& text, int64_t num_tokens) {
  prompt.insert(prompt.end(), text.begin(), text.begin() + num_tokens);
  const auto state = prefill_alone(model, {&prompt, 1}, static_cast<int64_t>(prompt.size()));
  const auto top = std::get<0>(state.logits[0].topk(2));
  return top[0].item<double>() - top[1].item<double>();
}

void run_variant(const Model& model, std::span<const GenerationRequest> requests,
                 PrefillOptions options, const AloneRuns& alone, VariantDifferences& variant) {
  options.method = variant.method;
  options.final_token = variant.final_token;
  auto state = prefill(model, alone.prompts, options, cache_capacity(model.config(), requests));
  decode_final_tokens(model, state);
  std::vector<PromptDifference> differences;
  for (size_t i = 0; i < requests.size(); ++i) {
    differences.push_back(compare_row(state, alone.state, static_cast<int64_t>(i)));
  }
  const auto texts = greedy_texts(model, std::move(state), requests);
  for (size_t i = 0; i < requests.size(); ++i) {
    auto& parting = differences[i].parting = find_parting(texts[i], alone.texts[i]);
    // Half precision parts at every near-tie: to look into each would take longer than all the
    // rest.
    if (parting && model.dtype() == DType::kFloat32) {
      parting->gap = top_gap(model, alone.prompts[i], alone.texts[i], parting->token);
    }
  }
  std::ranges::move(differences, std::back_inserter(variant.prompts));
}

}  // namespace

std::vector<VariantDifferences> all_variants() {
  std::vector<VariantDifferences> variants;
  for (auto method : {PrefillMethod::kPacked, PrefillMethod::kPackedRows, PrefillMethod::kPadded}) {
    for (auto place : {FinalToken::kPrefill, FinalToken::kFirstStep}) {
      variants.push_back({.method = method, .final_token = place});
    }
  }
  return variants;
}

DecodeState prefill_alone(const Model& model, std::span<const TokenIds> prompts,
                          int64_t cache_capacity) {
  const auto num_prompts = static_cast<int64_t>(prompts.size());
  auto together = empty_state(model, num_prompts, cache_capacity);
  for (int64_t i = 0; i < num_prompts; ++i) {
    const auto prompt = prompts.subspan(i, 1);
    const PrefillOptions options{.method = PrefillMethod::kPadded,
                                 .token_budget = static_cast<int64_t>(prompt.front().size())};
    copy_row(prefill(model, prompt, options, cache_capacity), 0, together, i);
  }
  return together;
}

void verify_batch(const Model& model, std::span<const GenerationRequest> requests,
                  const PrefillOptions& options, std::vector<VariantDifferences>& variants,
                  const RunObserver& on_runs) {
  const auto alone = run_alone(model, requests, on_runs);
  for (auto& variant : variants) {
    run_variant(model, requests, options, alone, variant);
    if (on_runs) on_runs(static_cast<int64_t>(requests.size()));
  }
}

}  // namespace prepack::bench

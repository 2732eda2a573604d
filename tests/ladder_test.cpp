// The ladder: each step from one operator to whole texts, compared with what transformers computes.

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <numeric>
#include <tuple>
#include <variant>

#include "model/decoder.h"
#include "prepack/attention.h"
#include "prepack/decode.h"
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
using testing::Reference;
using testing::tolerance;

const auto kTolerance = tolerance(DType::kFloat32);

/// Largest magnitude of a reference tensor: tolerances of values far from 1 grow with it.
double scale_of(const at::Tensor& tensor) {
  return std::max(1.0, tensor.abs().max().item<double>());
}

AllClose close(const at::Tensor& expected, double tolerance) {
  return AllClose(expected, tolerance * scale_of(expected));
}

// The first layer's parts, with the weights that the test itself picks by their names.

std::string layer_name(const std::string& part) { return "model.layers.0." + part; }

ModelConfig read_config(const Reference& reference) {
  return load_model_config(reference.model_folder);
}

RmsNorm read_norm(const Reference& reference, const std::string& part) {
  return {testing::read_weight(reference, layer_name(part + ".weight")),
          read_config(reference).rms_norm_eps};
}

Linear read_linear(const Reference& reference, const std::string& part) {
  return {testing::read_weight(reference, layer_name(part + ".weight")),
          testing::find_weight(reference, layer_name(part + ".bias"))};
}

Linear read_stacked(const Reference& reference, const std::vector<std::string>& parts) {
  std::vector<at::Tensor> weights;
  std::vector<at::Tensor> biases;
  for (const auto& part : parts) {
    const auto linear = read_linear(reference, part);
    weights.push_back(std::get<at::Tensor>(linear.weight));
    if (linear.bias) biases.push_back(*linear.bias);
  }
  Linear stacked{at::cat(weights), {}};
  if (!biases.empty()) stacked.bias = at::cat(biases);
  return stacked;
}

bool is_phi3(const Reference& reference) {
  return read_config(reference).architecture == "Phi3ForCausalLM";
}

SelfAttention read_attention(const Reference& reference) {
  SelfAttention attention;
  attention.qkv_proj =
      is_phi3(reference)
          ? read_linear(reference, "self_attn.qkv_proj")
          : read_stacked(reference, {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"});
  if (read_config(reference).architecture == "Qwen3ForCausalLM") {
    attention.q_norm = read_norm(reference, "self_attn.q_norm");
    attention.k_norm = read_norm(reference, "self_attn.k_norm");
  }
  attention.o_proj = read_linear(reference, "self_attn.o_proj");
  return attention;
}

DecoderLayer read_first_layer(const Reference& reference) {
  return {
      .input_layernorm = read_norm(reference, "input_layernorm"),
      .self_attn = read_attention(reference),
      .post_attention_layernorm = read_norm(reference, "post_attention_layernorm"),
      .mlp = {.gate_up_proj = is_phi3(reference)
                                  ? read_linear(reference, "mlp.gate_up_proj")
                                  : read_stacked(reference, {"mlp.gate_proj", "mlp.up_proj"}),
              .down_proj = read_linear(reference, "mlp.down_proj")},
  };
}

AttentionSpec in_first_layer(const ModelConfig& config, const AttentionSpec& spec) {
  return with_window(spec, config.sliding_window(0).value_or(kNoWindow));
}

/// One prompt alone, as a packed forward.
ForwardInput forward_input(const TokenIds& prompt) {
  const auto length = static_cast<int64_t>(prompt.size());
  const auto places = at::arange(length, at::kLong);
  return {
      .input_ids = at::tensor(at::ArrayRef<TokenId>(prompt), at::kLong),
      .position_ids = places,
      .attention = testing::varlen_attention(std::vector<int64_t>{length}),
      .cache_slots = {.tokens = {}, .slots = places},
      .sequence_lens = std::vector<int64_t>(length, length),
  };
}

RopeTable rope_table(const ModelConfig& config, int64_t length) {
  return Rope(config.rope, config.rotary_dim, at::kCPU)
      .table(at::arange(length, at::kLong), std::vector<int64_t>(length, length));
}

// The rungs, each given what the reference had before it.

void check_rms_norm(const Reference& reference) {
  INFO(reference.model_folder);
  const auto norm = read_norm(reference, "input_layernorm");
  CHECK_THAT(norm(reference["embeddings"]), close(reference["normed"], kTolerance.op));
}

void check_rope(const Reference& reference) {
  INFO(reference.model_folder);
  const auto config = read_config(reference);
  const auto normed = reference["normed"];
  const auto attention = read_attention(reference);
  const auto heads = attention.qkv_proj(normed).unflatten(1, {-1, config.head_dim});
  const auto table = rope_table(config, normed.size(0));
  for (const auto& [name, part, norm] :
       {std::tuple{"queries", heads.narrow(1, 0, config.num_heads), attention.q_norm},
        {"keys", heads.narrow(1, config.num_heads, config.num_kv_heads), attention.k_norm}}) {
    INFO(name);
    if (norm) norm->normalise_heads(part);
    apply_rope(part, table);
    CHECK_THAT(part, close(reference[name], kTolerance.layer));
  }
}

void check_attention(const Reference& reference) {
  INFO(reference.model_folder);
  const auto queries = reference["queries"];
  const auto keys = reference["keys"];
  const auto values = reference["values"].view(keys.sizes());
  const auto length = queries.size(0);
  const auto expected = reference["attended"].view(queries.sizes());
  const auto config = read_config(reference);
  const auto varlen = testing::varlen_attention(std::vector<int64_t>{length});
  const auto places = at::arange(length, at::kLong);
  const auto causal = places.unsqueeze(0).le(places.unsqueeze(1)).view({1, 1, length, length});
  const auto attended = [&]<typename Spec>(const Spec& spec, const at::Tensor& some_queries,
                                           const at::Tensor& all_keys,
                                           const at::Tensor& all_values) {
    return attend(some_queries, all_keys, all_values, std::get<Spec>(in_first_layer(config, spec)));
  };
  CHECK_THAT(attended(varlen, queries, keys, values), close(expected, kTolerance.op));
  CHECK_THAT(attended(MaskedAttention{causal}, queries, keys, values),
             close(expected, kTolerance.op));
  CHECK_THAT(attended(CausalAttention{1}, queries, keys, values), close(expected, kTolerance.op));
  const CacheAttention last{1, length, causal.narrow(2, length - 1, 1)};
  CHECK_THAT(
      attended(last, queries.narrow(0, length - 1, 1), keys.unsqueeze(0), values.unsqueeze(0)),
      close(expected.narrow(0, length - 1, 1), kTolerance.op));
}

void check_layer(const Reference& reference) {
  INFO(reference.model_folder);
  auto config = read_config(reference);
  config.num_layers = 1;
  auto input = forward_input(reference.longest_prompt());
  input.attention = in_first_layer(config, input.attention);
  const auto length = input.input_ids.size(0);
  KvCache cache(config, 1, length, DType::kFloat32, at::kCPU);
  auto hidden = reference["embeddings"].clone();
  LayerBuffers buffers(config, length, hidden.options());
  run_layer(read_first_layer(reference), 0, config, input, rope_table(config, length), cache,
            buffers, hidden);
  CHECK_THAT(hidden, close(reference["layer_output"], kTolerance.layer));
  CHECK_THAT(cache.keys(0, 1, length)[0], close(reference["keys"], kTolerance.layer));
  CHECK_THAT(cache.values(0, 1, length)[0].flatten(1),
             close(reference["values"], kTolerance.layer));
}

void check_hidden(const Reference& reference) {
  INFO(reference.model_folder);
  const auto& model = testing::load_once(reference);
  const auto input = forward_input(reference.longest_prompt());
  KvCache cache(model.config(), 1, input.input_ids.size(0), DType::kFloat32, at::kCPU);
  CHECK_THAT(model.forward(input, cache), close(reference["hidden"], kTolerance.logits));
}

int64_t cache_capacity(const Reference& reference) {
  return static_cast<int64_t>(reference.longest_prompt().size() + reference.greedy[0].size());
}

/// Logits and greedy tokens of one way to prefill.
void check_texts(const Reference& reference, const std::vector<int64_t>& order,
                 const PrefillOptions& options) {
  const auto& model = testing::load_once(reference);
  std::vector<TokenIds> prompts;
  std::vector<TokenIds> expected;
  std::vector<DecodeRequest> requests;
  for (int64_t i : order) {
    prompts.push_back(reference.prompts[i]);
    expected.push_back(reference.greedy[i]);
    requests.push_back({.sampler = Sampler({}, 0, {}),
                        .max_new_tokens = static_cast<int64_t>(expected.back().size())});
  }
  auto state = prefill(model, prompts, options, cache_capacity(reference));
  decode_final_tokens(model, state);
  const auto logits = reference["logits"].index_select(0, at::tensor(order, at::kLong));
  CHECK_THAT(state.logits, AllClose(logits, kTolerance.logits));
  const auto decoded = decode(model, std::move(state), requests);
  for (size_t i = 0; i < decoded.size(); ++i) {
    INFO("prompt " << order[i]);
    CHECK(decoded[i].token_ids == expected[i]);
  }
}

std::vector<int64_t> callers_order(const Reference& reference) {
  std::vector<int64_t> order(reference.prompts.size());
  std::iota(order.begin(), order.end(), 0);
  return order;
}

std::vector<int64_t> another_order(const Reference& reference) {
  auto order = callers_order(reference);
  testing::Random(3).shuffle(order);
  return order;
}

/// At budgets that take all prompts at once, and that only just take the longest.
void check_method(const Reference& reference, PrefillMethod method,
                  const std::vector<int64_t>& order) {
  const auto longest = static_cast<int64_t>(reference.longest_prompt().size());
  for (auto token_budget : {int64_t{4096}, longest}) {
    INFO(reference.model_folder << ", " << to_string(method) << ", budget of " << token_budget
                                << " tokens");
    check_texts(reference, order, {.method = method, .token_budget = token_budget});
  }
}

template <PrefillMethod method>
void check_method(const Reference& reference) {
  check_method(reference, method, callers_order(reference));
}

template <PrefillMethod method>
void check_method_in_another_order(const Reference& reference) {
  check_method(reference, method, another_order(reference));
}

void check_alone(const Reference& reference) {
  for (int64_t i : callers_order(reference)) {
    INFO(reference.model_folder);
    check_texts(reference, {i}, {});
  }
}

template <typename Check>
void for_tiny_models(const Check& check) {
  for (const auto& reference : testing::tiny_references()) check(reference);
}

template <typename Check>
void for_packed_models(const Check& check) {
  for (const auto& reference : testing::packed_references()) check(reference);
}

template <typename Check>
void for_gguf_models(const Check& check) {
  for (const auto& reference : testing::gguf_references()) check(reference);
}

template <typename Check>
void for_default_model(const Check& check) {
  if (const auto reference = testing::default_reference()) check(*reference);
}

TEST_CASE("rms_norm equals the reference on the tiny models", "[ladder]") {
  for_tiny_models(check_rms_norm);
}
TEST_CASE("RoPE equals the reference on the tiny models", "[ladder]") {
  for_tiny_models(check_rope);
}
TEST_CASE("attention equals the reference on the tiny models", "[ladder]") {
  for_tiny_models(check_attention);
}
TEST_CASE("one layer equals the reference on the tiny models", "[ladder]") {
  for_tiny_models(check_layer);
}
TEST_CASE("the final hidden states equal the reference on the tiny models", "[ladder]") {
  for_tiny_models(check_hidden);
}
TEST_CASE("each prompt alone has the reference's logits and greedy tokens on the tiny models",
          "[ladder]") {
  for_tiny_models(check_alone);
}
TEST_CASE("packed has the reference's logits and greedy tokens on the tiny models", "[ladder]") {
  for_tiny_models(check_method<PrefillMethod::kPacked>);
  for_tiny_models(check_method_in_another_order<PrefillMethod::kPacked>);
}
TEST_CASE("packed-rows has the reference's logits and greedy tokens on the tiny models",
          "[ladder]") {
  for_tiny_models(check_method<PrefillMethod::kPackedRows>);
  for_tiny_models(check_method_in_another_order<PrefillMethod::kPackedRows>);
}
TEST_CASE("padded has the reference's logits and greedy tokens on the tiny models", "[ladder]") {
  for_tiny_models(check_method<PrefillMethod::kPadded>);
  for_tiny_models(check_method_in_another_order<PrefillMethod::kPadded>);
}

TEST_CASE(
    "final tokens in the first step, shared beginnings and padded caches have the reference's "
    "logits and greedy tokens on the tiny models",
    "[ladder]") {
  for_tiny_models([](const Reference& reference) {
    const auto order = callers_order(reference);
    INFO(reference.model_folder);
    for (auto method :
         {PrefillMethod::kPacked, PrefillMethod::kPackedRows, PrefillMethod::kPadded}) {
      check_texts(reference, order, {.method = method, .final_token = FinalToken::kFirstStep});
      check_texts(reference, order, {.method = method, .padded_cache = true});
    }
    check_texts(reference, order, {.shares_prefixes = true});
  });
}

TEST_CASE(
    "each prompt alone has the reference's logits and greedy tokens on the GPTQ and AWQ folders",
    "[ladder][packed]") {
  for_packed_models(check_alone);
}
TEST_CASE("packed has the reference's logits and greedy tokens on the GPTQ and AWQ folders",
          "[ladder][packed]") {
  for_packed_models(check_method<PrefillMethod::kPacked>);
  for_packed_models(check_method_in_another_order<PrefillMethod::kPacked>);
}
TEST_CASE("packed-rows has the reference's logits and greedy tokens on the GPTQ and AWQ folders",
          "[ladder][packed]") {
  for_packed_models(check_method<PrefillMethod::kPackedRows>);
}
TEST_CASE("padded has the reference's logits and greedy tokens on the GPTQ and AWQ folders",
          "[ladder][packed]") {
  for_packed_models(check_method<PrefillMethod::kPadded>);
}

TEST_CASE(
    "each prompt alone has the reference's logits and greedy tokens on every family's GGUF file",
    "[ladder][gguf]") {
  for_gguf_models(check_alone);
}
TEST_CASE("packed has the reference's logits and greedy tokens on every family's GGUF file",
          "[ladder][gguf]") {
  for_gguf_models(check_method<PrefillMethod::kPacked>);
  for_gguf_models(check_method_in_another_order<PrefillMethod::kPacked>);
}
TEST_CASE("packed-rows has the reference's logits and greedy tokens on every family's GGUF file",
          "[ladder][gguf]") {
  for_gguf_models(check_method<PrefillMethod::kPackedRows>);
}
TEST_CASE("padded has the reference's logits and greedy tokens on every family's GGUF file",
          "[ladder][gguf]") {
  for_gguf_models(check_method<PrefillMethod::kPadded>);
}

TEST_CASE("rms_norm equals the reference on the default model", "[ladder][default-model]") {
  for_default_model(check_rms_norm);
}
TEST_CASE("RoPE equals the reference on the default model", "[ladder][default-model]") {
  for_default_model(check_rope);
}
TEST_CASE("attention equals the reference on the default model", "[ladder][default-model]") {
  for_default_model(check_attention);
}
TEST_CASE("one layer equals the reference on the default model", "[ladder][default-model]") {
  for_default_model(check_layer);
}
TEST_CASE("the final hidden states equal the reference on the default model",
          "[ladder][default-model]") {
  for_default_model(check_hidden);
}
TEST_CASE("packed has the reference's logits and greedy tokens on the default model",
          "[ladder][default-model]") {
  for_default_model(check_method<PrefillMethod::kPacked>);
}
TEST_CASE("packed-rows has the reference's logits and greedy tokens on the default model",
          "[ladder][default-model]") {
  for_default_model(check_method<PrefillMethod::kPackedRows>);
}
TEST_CASE("padded has the reference's logits and greedy tokens on the default model",
          "[ladder][default-model]") {
  for_default_model(check_method<PrefillMethod::kPadded>);
}
TEST_CASE("prompts in another order have the reference's texts on the default model",
          "[ladder][default-model]") {
  for_default_model([](const Reference& reference) {
    check_texts(reference, another_order(reference), {.method = PrefillMethod::kPacked});
  });
}

}  // namespace
}  // namespace prepack

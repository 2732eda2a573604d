// What each family's config.json means, and the configs of known releases.

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "model/families/family.h"
#include "prepack/error.h"
#include "prepack/model_config.h"
#include "support/catch.h"

namespace prepack {
namespace {

using Json = nlohmann::json;
using Windows = std::vector<std::optional<int64_t>>;

constexpr auto kNone = std::nullopt;

/// Four layers of six heads, and what else is given.
ModelConfig parse(const std::string& architecture, const Json& more = Json::object()) {
  Json json = {
      {"architectures", {architecture}}, {"vocab_size", 100},      {"hidden_size", 48},
      {"intermediate_size", 64},         {"num_hidden_layers", 4}, {"num_attention_heads", 6},
      {"num_key_value_heads", 2}};
  json.update(more);
  return parse_model_config(json.dump(), "config.json");
}

std::string refusal(const std::string& architecture, const Json& more) {
  try {
    parse(architecture, more);
  } catch (const LoadError& error) {
    return error.what();
  }
  return "accepted";
}

/// Layer types as transformers spells them: F full, S sliding.
Json layer_types(const std::string& letters) {
  Json types = Json::array();
  for (char letter : letters) {
    types.push_back(letter == 'S' ? "sliding_attention" : "full_attention");
  }
  return types;
}

TEST_CASE("every family is found by its architecture and by its model_type", "[families]") {
  for (const auto* family : families()) {
    INFO(family->architecture);
    const Json more = {{"head_dim", 8}};
    CHECK(parse(std::string(family->architecture), more).architecture == family->architecture);
    CHECK(&family_of(family->architecture) == family);
    const auto config =
        parse("", {{"architectures", nullptr}, {"model_type", std::string(family->model_type)}});
    CHECK(config.architecture == family->architecture);
  }
  CHECK_THROWS_AS(family_of("GPT2LMHeadModel"), InvalidArgument);
}

TEST_CASE("absent keys take the values of each family's class in transformers", "[families]") {
  const auto mistral = parse("MistralForCausalLM");
  CHECK(mistral.max_position_embeddings == 131072);
  CHECK(mistral.sliding_windows == Windows(4, 4096));
  CHECK(mistral.rms_norm_eps == 1e-6);

  const auto qwen2 = parse("Qwen2ForCausalLM");
  CHECK(qwen2.max_position_embeddings == 32768);
  CHECK(qwen2.head_dim == 8);
  CHECK(qwen2.qkv_bias);
  CHECK_FALSE(qwen2.attention_output_bias);
  CHECK_FALSE(qwen2.qk_norm);
  CHECK(qwen2.sliding_windows.empty());

  const auto qwen3 = parse("Qwen3ForCausalLM");
  CHECK(qwen3.head_dim == 128);
  CHECK(qwen3.qk_norm);
  CHECK_FALSE(qwen3.qkv_bias);
  CHECK(qwen3.sliding_windows.empty());

  const auto phi3 = parse("Phi3ForCausalLM");
  CHECK(phi3.max_position_embeddings == 4096);
  CHECK(phi3.rms_norm_eps == 1e-5);
  CHECK(phi3.rotary_dim == 8);
  CHECK(phi3.sliding_windows.empty());

  const auto smollm3 = parse("SmolLM3ForCausalLM");
  CHECK(smollm3.max_position_embeddings == 32768);
  CHECK(smollm3.rope.theta == 2e6);
  CHECK(smollm3.tie_word_embeddings);
  CHECK(smollm3.rope_layers == std::vector<bool>{true, true, true, false});
  CHECK(smollm3.sliding_windows.empty());
  for (const auto* family : {&mistral, &qwen2, &qwen3, &phi3}) {
    CHECK(family->rope.theta == 10000.0);
    CHECK_FALSE(family->tie_word_embeddings);
    CHECK(family->rope_layers.empty());
  }
}

TEST_CASE("an absent number of key heads is the family's, a null one is that of all heads",
          "[families]") {
  const auto num_kv_heads = [](const std::string& architecture, const Json& value) {
    Json json = {
        {"architectures", {architecture}}, {"vocab_size", 100},      {"hidden_size", 512},
        {"intermediate_size", 64},         {"num_hidden_layers", 4}, {"num_attention_heads", 64}};
    if (!value.is_boolean()) json["num_key_value_heads"] = value;
    return parse_model_config(json.dump(), "config.json").num_kv_heads;
  };
  const Json absent = false;
  CHECK(num_kv_heads("LlamaForCausalLM", absent) == 64);
  CHECK(num_kv_heads("MistralForCausalLM", absent) == 8);
  CHECK(num_kv_heads("Qwen2ForCausalLM", absent) == 32);
  CHECK(num_kv_heads("Qwen3ForCausalLM", absent) == 32);
  CHECK(num_kv_heads("Phi3ForCausalLM", absent) == 64);
  CHECK(num_kv_heads("SmolLM3ForCausalLM", absent) == 4);
  for (const auto* family : families()) {
    CHECK(num_kv_heads(std::string(family->architecture), nullptr) == 64);
    CHECK(num_kv_heads(std::string(family->architecture), 16) == 16);
  }
}

TEST_CASE("Mistral's window is on every layer, or null", "[families]") {
  CHECK(parse("MistralForCausalLM", {{"sliding_window", 9}}).sliding_windows == Windows(4, 9));
  CHECK(parse("MistralForCausalLM", {{"sliding_window", nullptr}}).sliding_windows.empty());
  CHECK(parse("MistralForCausalLM", {{"sliding_window", nullptr}}).sliding_window(3) == kNone);
  CHECK(refusal("MistralForCausalLM", {{"sliding_window", 0}}) ==
        "config.json: sliding_window: expected an integer from 1 to 2147483647, got 0");
  CHECK_THAT(refusal("MistralForCausalLM", {{"layer_types", layer_types("SFSF")}}),
             ContainsSubstring("layer_types: not supported"));
}

TEST_CASE("Phi-3's window is on every layer, or absent", "[families]") {
  CHECK(parse("Phi3ForCausalLM", {{"sliding_window", 40}}).sliding_windows == Windows(4, 40));
  CHECK(parse("Phi3ForCausalLM", {{"sliding_window", nullptr}}).sliding_windows.empty());
  CHECK_THAT(
      refusal("Phi3ForCausalLM", {{"sliding_window", 40}, {"layer_types", layer_types("SFSF")}}),
      ContainsSubstring("layer_types: not supported"));
}

TEST_CASE("Qwen's windows are on the upper layers, if they are used at all", "[families]") {
  for (const std::string architecture : {"Qwen2ForCausalLM", "Qwen3ForCausalLM"}) {
    INFO(architecture);
    const auto windows = [&](Json more) {
      more["sliding_window"] = 13;
      return parse(architecture, more).sliding_windows;
    };
    CHECK(windows({{"use_sliding_window", false}, {"max_window_layers", 2}}).empty());
    CHECK(windows({{"max_window_layers", 2}}).empty());
    CHECK(windows({{"use_sliding_window", true}}).empty());  // 28 layers without
    CHECK(windows({{"use_sliding_window", true}, {"max_window_layers", 3}}) ==
          Windows{kNone, kNone, kNone, 13});
    CHECK(windows({{"use_sliding_window", true}, {"max_window_layers", 0}}) == Windows(4, 13));
    CHECK(windows({{"use_sliding_window", true}, {"layer_types", layer_types("SFFS")}}) ==
          Windows{13, kNone, kNone, 13});
    CHECK(
        parse(architecture,
              {{"use_sliding_window", true}, {"max_window_layers", 0}, {"sliding_window", nullptr}})
            .sliding_windows.empty());
    CHECK_THAT(refusal(architecture, {{"layer_types", layer_types("FFSF")}}),
               ContainsSubstring("layer_types: layer 2 is of sliding_attention, and the model has "
                                 "no sliding_window"));
  }
}

TEST_CASE("layer_types must be of known kinds, one for each layer", "[families]") {
  CHECK_THAT(refusal("Qwen2ForCausalLM", {{"layer_types", layer_types("FFF")}}),
             ContainsSubstring("layer_types: expected one for each of 4 layers, got 3"));
  CHECK_THAT(refusal("Qwen3ForCausalLM", {{"layer_types", Json::array()}}),
             ContainsSubstring("expected one for each of 4 layers, got 0"));
  CHECK_THAT(refusal("SmolLM3ForCausalLM",
                     {{"layer_types", {"full_attention", "x", "full_attention", "x"}}}),
             ContainsSubstring("expected full_attention or sliding_attention, got \"x\""));
  CHECK_THAT(refusal("Qwen2ForCausalLM", {{"layer_types", "full_attention"}}),
             ContainsSubstring("layer_types: expected a list of strings"));
}

TEST_CASE("Qwen3's attention_bias means all four projections", "[families]") {
  const auto config = parse("Qwen3ForCausalLM", {{"attention_bias", true}});
  CHECK(config.qkv_bias);
  CHECK(config.attention_output_bias);
}

TEST_CASE("Phi-3 may turn a part of each head", "[families]") {
  const auto config = [](const Json& more) { return parse("Phi3ForCausalLM", more); };
  CHECK(config({{"partial_rotary_factor", 0.75}}).rotary_dim == 6);
  CHECK(config({{"rope_parameters", {{"partial_rotary_factor", 0.5}, {"rope_type", "default"}}}})
            .rotary_dim == 4);
  CHECK(config({{"partial_rotary_factor", 0.75},
                {"rope_scaling", {{"partial_rotary_factor", 0.25}, {"type", "default"}}}})
            .rotary_dim == 2);
  CHECK(refusal("Phi3ForCausalLM", {{"partial_rotary_factor", 0.4}}) ==
        "config.json: partial_rotary_factor: expected an even number of dimensions, got 3 of 8");
  CHECK_THAT(refusal("Phi3ForCausalLM", {{"partial_rotary_factor", 0}}),
             ContainsSubstring("got 0 of 8"));
  for (const auto* other : {"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM"}) {
    CHECK_THAT(refusal(other, {{"partial_rotary_factor", 0.75}}),
               ContainsSubstring("partial_rotary_factor: expected 1"));
  }
}

TEST_CASE("Phi-3's longrope needs the original context beside rope_scaling", "[families]") {
  const Json factors = {1.0, 1.5, 2.0, 3.0};
  Json more = {{"max_position_embeddings", 256},
               {"rope_scaling",
                {{"type", "longrope"},
                 {"short_factor", factors},
                 {"long_factor", factors},
                 {"original_max_position_embeddings", 64}}}};
  CHECK_THAT(refusal("Phi3ForCausalLM", more),
             ContainsSubstring("config.json: original_max_position_embeddings: is missing"));
  CHECK(refusal("LlamaForCausalLM", more) == "accepted");  // takes the inner one
  more["original_max_position_embeddings"] = 32;
  const auto rope = parse("Phi3ForCausalLM", more).rope;
  CHECK(std::get<LongRopeScaling>(rope.scaling).original_max_position_embeddings == 32);
}

TEST_CASE("SmolLM3 lists the layers that have RoPE, or leaves it out at intervals", "[families]") {
  const auto config = [](const Json& more) { return parse("SmolLM3ForCausalLM", more); };
  CHECK(config({{"no_rope_layer_interval", 2}}).rope_layers ==
        std::vector<bool>{true, false, true, false});
  const auto listed = config({{"no_rope_layers", {0, 1, 1, 0, 1}}, {"no_rope_layer_interval", 2}});
  CHECK(listed.rope_layers == std::vector<bool>{false, true, true, false});
  CHECK_FALSE(listed.has_rope(0));
  CHECK(listed.has_rope(1));
  CHECK(refusal("SmolLM3ForCausalLM", {{"no_rope_layers", {1, 1}}}) ==
        "config.json: no_rope_layers: expected one for each of 4 layers, got 2");
  CHECK_THAT(refusal("SmolLM3ForCausalLM", {{"no_rope_layers", {1, 2, 1, 1}}}),
             ContainsSubstring("no_rope_layers: expected an integer from 0 to 1, got 2"));
  CHECK_THAT(refusal("SmolLM3ForCausalLM", {{"no_rope_layer_interval", 0}}),
             ContainsSubstring("no_rope_layer_interval"));
}

TEST_CASE("SmolLM3's windows are on the layers without RoPE, or where layer_types says",
          "[families]") {
  const auto windows = [](const Json& more) {
    return parse("SmolLM3ForCausalLM", more).sliding_windows;
  };
  CHECK(windows({{"sliding_window", 11}}).empty());
  CHECK(windows({{"sliding_window", 11}, {"use_sliding_window", true}}) ==
        Windows{kNone, kNone, kNone, 11});
  CHECK(windows({{"sliding_window", nullptr}, {"use_sliding_window", true}}).empty());
  CHECK(windows({{"sliding_window", 11}, {"layer_types", layer_types("SFSF")}}) ==
        Windows{11, kNone, 11, kNone});
}

TEST_CASE("each length of window is listed once", "[families]") {
  ModelConfig config;
  CHECK(config.distinct_windows().empty());
  config.sliding_windows = {9, kNone, 4, 9};
  CHECK(config.distinct_windows() == std::vector<int64_t>{4, 9});
}

TEST_CASE("the known releases in models/ have the parameters that were published", "[families]") {
  int num_models = 0;
  const std::filesystem::path models = std::filesystem::path(PREPACK_SOURCE_DIR) / "models";
  for (const auto& entry : std::filesystem::directory_iterator(models)) {
    std::ifstream file(entry.path() / "manifest.json");
    if (!file) continue;  // a model that was fetched
    INFO(entry.path());
    const auto manifest = Json::parse(file);
    CHECK(load_model_config(entry.path()).num_parameters() == manifest.at("num_parameters"));
    ++num_models;
  }
  CHECK(num_models >= 7);
}

}  // namespace
}  // namespace prepack

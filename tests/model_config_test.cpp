#include "prepack/model_config.h"

#include <nlohmann/json.hpp>
#include <string>

#include "prepack/error.h"
#include "support/catch.h"
#include "support/temp_dir.h"

namespace prepack {
namespace {

using Json = nlohmann::json;
using testing::TempDir;

/// The fewest keys a config needs.
Json minimal_config() {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"vocab_size", 100},
          {"hidden_size", 48},
          {"intermediate_size", 64},
          {"num_hidden_layers", 2},
          {"num_attention_heads", 6}};
}

ModelConfig parse(const Json& json) { return parse_model_config(json.dump(), "config.json"); }

/// The message that the minimal config with these changes is refused with.
std::string refusal(const Json& changes) {
  Json json = minimal_config();
  json.update(changes);
  try {
    parse(json);
  } catch (const LoadError& error) {
    return error.what();
  }
  return "accepted";
}

ModelConfig with(const Json& changes) {
  Json json = minimal_config();
  json.update(changes);
  return parse(json);
}

void check_same(const ModelConfig& a, const ModelConfig& b) {
  CHECK(a.architecture == b.architecture);
  CHECK(a.vocab_size == b.vocab_size);
  CHECK(a.hidden_size == b.hidden_size);
  CHECK(a.intermediate_size == b.intermediate_size);
  CHECK(a.num_layers == b.num_layers);
  CHECK(a.num_heads == b.num_heads);
  CHECK(a.num_kv_heads == b.num_kv_heads);
  CHECK(a.head_dim == b.head_dim);
  CHECK(a.max_position_embeddings == b.max_position_embeddings);
  CHECK(a.rms_norm_eps == b.rms_norm_eps);
  CHECK(a.rope.theta == b.rope.theta);
  REQUIRE(a.rope.scaling.index() == b.rope.scaling.index());
  if (const auto* scaling = std::get_if<Llama3RopeScaling>(&a.rope.scaling)) {
    const auto& other = std::get<Llama3RopeScaling>(b.rope.scaling);
    CHECK(scaling->factor == other.factor);
    CHECK(scaling->low_freq_factor == other.low_freq_factor);
    CHECK(scaling->high_freq_factor == other.high_freq_factor);
    CHECK(scaling->original_max_position_embeddings == other.original_max_position_embeddings);
  }
  CHECK(a.tie_word_embeddings == b.tie_word_embeddings);
  CHECK(a.qkv_bias == b.qkv_bias);
  CHECK(a.attention_output_bias == b.attention_output_bias);
  CHECK(a.mlp_bias == b.mlp_bias);
  CHECK(a.rotary_dim == b.rotary_dim);
  CHECK(a.qk_norm == b.qk_norm);
  CHECK(a.sliding_windows == b.sliding_windows);
  CHECK(a.rope_layers == b.rope_layers);
  CHECK(a.dtype == b.dtype);
  CHECK(a.bos_token_id == b.bos_token_id);
  CHECK(a.eos_token_ids == b.eos_token_ids);
}

// As transformers 5.17 and 4.43 write the same model.
const auto* const kNewSpelling = R"({
  "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
  "bos_token_id": 128000, "dtype": "bfloat16", "eos_token_id": [128001, 128008, 128009],
  "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02,
  "intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": false,
  "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 16,
  "num_key_value_heads": 8, "pad_token_id": null, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
  "rope_parameters": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
    "original_max_position_embeddings": 8192, "rope_theta": 500000.0, "rope_type": "llama3"},
  "tie_word_embeddings": true, "transformers_version": "5.17.0", "use_cache": true,
  "vocab_size": 128256})";
const auto* const kOldSpelling = R"({
  "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
  "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009],
  "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02,
  "intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": false,
  "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 16,
  "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
  "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
    "original_max_position_embeddings": 8192, "rope_type": "llama3"},
  "rope_theta": 500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
  "transformers_version": "4.43.0", "use_cache": true, "vocab_size": 128256})";

TEST_CASE("every field of a config is read", "[model_config]") {
  const auto config = parse_model_config(kNewSpelling, "config.json");
  CHECK(config.architecture == "LlamaForCausalLM");
  CHECK(config.vocab_size == 128256);
  CHECK(config.hidden_size == 2048);
  CHECK(config.intermediate_size == 8192);
  CHECK(config.num_layers == 16);
  CHECK(config.num_heads == 32);
  CHECK(config.num_kv_heads == 8);
  CHECK(config.head_dim == 64);
  CHECK(config.max_position_embeddings == 131072);
  CHECK(config.rms_norm_eps == 1e-5);
  CHECK(config.rope.theta == 500000.0);
  const auto& scaling = std::get<Llama3RopeScaling>(config.rope.scaling);
  CHECK(scaling.factor == 32.0);
  CHECK(scaling.low_freq_factor == 1.0);
  CHECK(scaling.high_freq_factor == 4.0);
  CHECK(scaling.original_max_position_embeddings == 8192);
  CHECK(config.tie_word_embeddings);
  CHECK_FALSE(config.qkv_bias);
  CHECK(config.dtype == DType::kBFloat16);
  CHECK(config.bos_token_id == 128000);
  CHECK(config.eos_token_ids == std::vector<TokenId>{128001, 128008, 128009});
  CHECK(config.num_parameters() == 1'235'814'400);  // Llama 3.2 1B
}

TEST_CASE("the old and the new spelling give the same config", "[model_config]") {
  check_same(parse_model_config(kOldSpelling, "old"), parse_model_config(kNewSpelling, "new"));
}

TEST_CASE("absent keys take the values of transformers' LlamaConfig", "[model_config]") {
  const auto config = parse(minimal_config());
  CHECK(config.num_kv_heads == 6);
  CHECK(config.head_dim == 8);
  CHECK(config.max_position_embeddings == 2048);
  CHECK(config.rms_norm_eps == 1e-6);
  CHECK(config.rope.theta == 10000.0);
  CHECK(std::holds_alternative<std::monostate>(config.rope.scaling));
  CHECK_FALSE(config.tie_word_embeddings);
  CHECK_FALSE(config.qkv_bias);
  CHECK_FALSE(config.attention_output_bias);
  CHECK_FALSE(config.mlp_bias);
  CHECK_FALSE(config.qk_norm);
  CHECK(config.rotary_dim == 8);
  CHECK(config.sliding_windows.empty());
  CHECK(config.rope_layers.empty());
  CHECK(config.dtype == DType::kFloat32);
  CHECK_FALSE(config.bos_token_id.has_value());
  CHECK(config.eos_token_ids == std::vector<TokenId>{2});
}

TEST_CASE("a null counts as absent", "[model_config]") {
  check_same(with({{"head_dim", nullptr},
                   {"num_key_value_heads", nullptr},
                   {"rope_scaling", nullptr},
                   {"rope_parameters", nullptr},
                   {"bos_token_id", nullptr},
                   {"torch_dtype", nullptr},
                   {"quantization_config", nullptr}}),
             parse(minimal_config()));
}

TEST_CASE("Llama's attention_bias means all four projections", "[model_config]") {
  const auto config = with({{"attention_bias", true}});
  CHECK(config.qkv_bias);
  CHECK(config.attention_output_bias);
}

TEST_CASE("head_dim need not be hidden_size / num_attention_heads", "[model_config]") {
  CHECK(with({{"head_dim", 10}}).head_dim == 10);
  CHECK(with({{"hidden_size", 50}, {"head_dim", 10}}).hidden_size == 50);
  CHECK_THAT(refusal({{"hidden_size", 50}}),
             ContainsSubstring("config.json: hidden_size: expected "
                               "a multiple of num_attention_heads"));
  CHECK(refusal({{"head_dim", 7}}) == "config.json: head_dim: expected an even number, got 7");
}

TEST_CASE("RoPE scaling is read under each of its names", "[model_config]") {
  for (const auto* key : {"rope_scaling", "rope_parameters"}) {
    for (const auto* type : {"type", "rope_type"}) {
      const auto config = with({{key, {{type, "linear"}, {"factor", 4}}}, {"rope_theta", 5000}});
      CHECK(std::get<LinearRopeScaling>(config.rope.scaling).factor == 4.0);
      CHECK(config.rope.theta == 5000.0);
    }
  }
}

TEST_CASE("an empty rope_scaling hides no rope_parameters", "[model_config]") {
  const auto config =
      with({{"rope_scaling", Json::object()}, {"rope_parameters", {{"rope_theta", 2.0}}}});
  CHECK(config.rope.theta == 2.0);
}

TEST_CASE("RoPE of its own for each type of layer is refused", "[model_config]") {
  CHECK(refusal({{"rope_parameters", {{"full_attention", {{"rope_theta", 2.0}}}}}}) ==
        "config.json: rope_parameters: full_attention: RoPE that differs from layer to layer is "
        "not supported");
}

TEST_CASE("linear reaches `factor` times as far", "[model_config]") {
  const auto config = with(
      {{"max_position_embeddings", 4096}, {"rope_scaling", {{"type", "linear"}, {"factor", 4}}}});
  CHECK(config.max_position_embeddings == 16384);
}

TEST_CASE("a rope_theta inside rope_parameters wins", "[model_config]") {
  const auto config = with(
      {{"rope_theta", 1.0}, {"rope_parameters", {{"rope_theta", 2.0}, {"rope_type", "default"}}}});
  CHECK(config.rope.theta == 2.0);
}

TEST_CASE("llama3 scaling falls back to max_position_embeddings", "[model_config]") {
  const auto config = with({{"max_position_embeddings", 4096},
                            {"rope_scaling",
                             {{"rope_type", "llama3"},
                              {"factor", 8.0},
                              {"low_freq_factor", 1.0},
                              {"high_freq_factor", 4.0}}}});
  CHECK(std::get<Llama3RopeScaling>(config.rope.scaling).original_max_position_embeddings == 4096);
}

TEST_CASE("dynamic compares lengths to max_position_embeddings and reaches further",
          "[model_config]") {
  const auto config = with({{"max_position_embeddings", 2048},
                            {"original_max_position_embeddings", 512},
                            {"rope_scaling", {{"type", "dynamic"}, {"factor", 2.5}}}});
  const auto& scaling = std::get<DynamicRopeScaling>(config.rope.scaling);
  CHECK(scaling.factor == 2.5);
  CHECK(scaling.original_max_position_embeddings == 2048);
  CHECK(config.max_position_embeddings == 5120);
  CHECK(config.rope.depends_on_length());
}

TEST_CASE("yarn reaches as far as the original length times the factor", "[model_config]") {
  const Json scaling = {
      {"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32768}};
  for (const auto& [given, expected] :
       {std::pair{32768, 131072}, {131072, 131072}, {200000, 200000}}) {
    const auto config = with({{"max_position_embeddings", given}, {"rope_scaling", scaling}});
    CHECK(config.max_position_embeddings == expected);
    CHECK_FALSE(config.rope.depends_on_length());
  }
  CHECK(with({{"max_position_embeddings", 2000000000},
              {"rope_scaling", {{"type", "dynamic"}, {"factor", 4}}}})
            .max_position_embeddings == 2147483647);
}

/// head_dim of the minimal config is 8.
Json longrope(const Json& changes = Json::object()) {
  Json scaling = {{"type", "longrope"},
                  {"short_factor", {1, 1, 1.5, 2}},
                  {"long_factor", {1, 2, 3, 4}},
                  {"original_max_position_embeddings", 64}};
  scaling.update(changes);
  return {{"max_position_embeddings", 256}, {"rope_scaling", scaling}};
}

TEST_CASE("longrope is known by its first names too", "[model_config]") {
  for (const auto* name : {"longrope", "su", "yarn"}) {
    const auto config = with(longrope({{"type", name}}));
    const auto& scaling = std::get<LongRopeScaling>(config.rope.scaling);
    CHECK(scaling.short_factor == std::vector<double>{1, 1, 1.5, 2});
    CHECK(scaling.long_factor == std::vector<double>{1, 2, 3, 4});
    CHECK(scaling.original_max_position_embeddings == 64);
    CHECK(config.max_position_embeddings == 256);
    CHECK(config.rope.depends_on_length());
  }
}

TEST_CASE("an original length beside rope_scaling wins over the one inside", "[model_config]") {
  auto json = longrope();
  json["original_max_position_embeddings"] = 32;
  const auto config = with(json);
  CHECK(std::get<LongRopeScaling>(config.rope.scaling).original_max_position_embeddings == 32);
}

TEST_CASE("an unknown RoPE type is named", "[model_config]") {
  CHECK(
      refusal({{"rope_scaling", {{"type", "proportional"}, {"factor", 4.0}}}}) ==
      "config.json: rope_scaling: rope_type: expected default, linear, dynamic, yarn, longrope or "
      "llama3, got \"proportional\"");
}

TEST_CASE("RoPE parameters are checked", "[model_config]") {
  CHECK(refusal({{"rope_scaling", {{"type", "linear"}}}}) ==
        "config.json: rope_scaling: factor: is missing");
  CHECK_THAT(refusal({{"rope_scaling", {{"type", "linear"}, {"factor", 0}}}}),
             ContainsSubstring("factor: expected a number from"));
  CHECK_THAT(
      refusal(
          {{"rope_scaling",
            {{"type", "llama3"}, {"factor", 8}, {"low_freq_factor", 4}, {"high_freq_factor", 4}}}}),
      ContainsSubstring("high_freq_factor: expected more than low_freq_factor"));
  for (const auto* type : {"dynamic", "yarn"}) {
    CHECK(refusal({{"rope_scaling", {{"type", type}}}}) ==
          "config.json: rope_scaling: factor: is missing");
  }
  CHECK(refusal({{"head_dim", 2}, {"rope_scaling", {{"type", "dynamic"}, {"factor", 2}}}}) ==
        "config.json: rope_scaling: rope_type: dynamic needs 4 rotated dimensions, got 2");
  CHECK(refusal({{"rope_theta", 1}, {"rope_scaling", {{"type", "yarn"}, {"factor", 2}}}}) ==
        "config.json: rope_scaling: rope_theta: expected more than 1 for yarn, got 1");
  CHECK(refusal({{"rope_scaling", {{"type", "yarn"}, {"factor", 2}, {"beta_slow", 40}}}}) ==
        "config.json: rope_scaling: beta_fast: expected beta_slow, 40, or more, got 32");
  CHECK_THAT(refusal({{"rope_scaling", {{"type", "yarn"}, {"factor", 2}, {"truncate", 1}}}}),
             ContainsSubstring("truncate: expected true or false, got 1"));
  for (const auto* key : {"short_factor", "long_factor"}) {
    const std::string at = std::string("config.json: rope_scaling: ") + key;
    CHECK(refusal(longrope({{key, nullptr}})) == at + ": is missing");
    CHECK(refusal(longrope({{key, 2}})) == at + ": expected a list of numbers, got 2");
    CHECK_THAT(refusal(longrope({{key, {1, 2, 0, 4}}})),
               ContainsSubstring(at + ": expected a number from"));
    CHECK(refusal(longrope({{key, {1, 2, 3}}})) ==
          at + ": expected 4 numbers, one for each pair of dimensions, got 3");
  }
  CHECK_THAT(
      refusal(longrope({{"original_max_position_embeddings", 1}})),
      ContainsSubstring("original_max_position_embeddings: expected at least 2 for longrope"));
  CHECK_THAT(refusal({{"partial_rotary_factor", 0.5}}), ContainsSubstring("partial_rotary_factor"));
  CHECK_THAT(refusal({{"rope_theta", 0}}), ContainsSubstring("rope_theta: expected a number"));
}

TEST_CASE("other architectures are named beside the supported ones", "[model_config]") {
  CHECK(refusal({{"architectures", {"GPT2LMHeadModel"}}}) ==
        "config.json: architectures: expected one of LlamaForCausalLM, MistralForCausalLM, "
        "Qwen2ForCausalLM, Qwen3ForCausalLM, Phi3ForCausalLM, SmolLM3ForCausalLM, got "
        "GPT2LMHeadModel");
  CHECK_THAT(refusal({{"architectures", nullptr}}), ContainsSubstring("got none"));
  CHECK_THAT(refusal({{"architectures", nullptr}, {"model_type", "gpt2"}}),
             ContainsSubstring("got model_type gpt2"));
  CHECK_THAT(refusal({{"architectures", "LlamaForCausalLM"}}),
             ContainsSubstring("expected a list of strings"));
}

TEST_CASE("a config that names its model_type only is read", "[model_config]") {
  CHECK(with({{"architectures", nullptr}, {"model_type", "llama"}}).architecture ==
        "LlamaForCausalLM");
}

TEST_CASE("other activations are refused", "[model_config]") {
  CHECK(refusal({{"hidden_act", "gelu"}}) ==
        "config.json: hidden_act: expected silu, got \"gelu\"");
}

TEST_CASE("each required key is named where it is missing", "[model_config]") {
  for (const auto* key : {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
                          "num_attention_heads"}) {
    CHECK(refusal({{key, nullptr}}) == std::string("config.json: ") + key + ": is missing");
  }
}

TEST_CASE("sizes must be integers within their limits", "[model_config]") {
  for (const auto* key :
       {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
        "num_attention_heads", "num_key_value_heads", "head_dim", "max_position_embeddings"}) {
    for (const auto* value :
         {"0", "-1", "1.5", "6.0", "\"6\"", "[6]", "{}", "true", "1e300", "-1e300",
          "9223372036854775807", "18446744073709551615", "36893488147419103232"}) {
      INFO(key << " " << value);
      CHECK_THAT(refusal({{key, Json::parse(value)}}),
                 ContainsSubstring(std::string("config.json: ") + key + ": expected an integer"));
    }
  }
}

TEST_CASE("other values must be of their types", "[model_config]") {
  CHECK(refusal({{"rms_norm_eps", "1e-5"}}) ==
        "config.json: rms_norm_eps: expected a number from 0 to 1, got \"1e-5\"");
  CHECK(refusal({{"tie_word_embeddings", 1}}) ==
        "config.json: tie_word_embeddings: expected true or false, got 1");
  CHECK(refusal({{"hidden_act", 1}}) == "config.json: hidden_act: expected a string, got 1");
  CHECK(refusal({{"rope_scaling", 2}}) == "config.json: rope_scaling: expected an object, got 2");
  CHECK(refusal({{"torch_dtype", "int8"}}) ==
        "config.json: torch_dtype: expected float32, bfloat16 or float16, got \"int8\"");
  CHECK(refusal({{"dtype", 16}}) ==
        "config.json: dtype: expected float32, bfloat16 or float16, got 16");
}

TEST_CASE("query heads must share their key heads evenly", "[model_config]") {
  CHECK(refusal({{"num_key_value_heads", 4}}) ==
        "config.json: num_key_value_heads: expected a divisor of num_attention_heads, 6, got 4");
}

TEST_CASE("EOS may be one id or several", "[model_config]") {
  CHECK(with({{"eos_token_id", 2}}).eos_token_ids == std::vector<TokenId>{2});
  CHECK(with({{"eos_token_id", {2, 5}}}).eos_token_ids == std::vector<TokenId>{2, 5});
  CHECK(with({{"eos_token_id", Json::array()}}).eos_token_ids.empty());
}

TEST_CASE("a config that does not say its EOS has that of its family", "[model_config]") {
  const auto ids_of = [](const char* architecture, int64_t vocab_size) {
    return with({{"architectures", {architecture}},
                 {"num_key_value_heads", 6},
                 {"vocab_size", vocab_size}})
        .eos_token_ids;
  };
  using Ids = std::vector<TokenId>;
  CHECK(ids_of("LlamaForCausalLM", 100) == Ids{2});
  CHECK(ids_of("MistralForCausalLM", 100) == Ids{2});
  CHECK(ids_of("Qwen2ForCausalLM", 100).empty());
  CHECK(ids_of("Qwen3ForCausalLM", 100).empty());
  CHECK(ids_of("Phi3ForCausalLM", 32064) == Ids{32000});
  CHECK(ids_of("SmolLM3ForCausalLM", 128256) == Ids{128001});
  CHECK(ids_of("SmolLM3ForCausalLM", 128001).empty());
  CHECK(with({{"eos_token_id", nullptr}}).eos_token_ids.empty());
}

TEST_CASE("special tokens outside the vocabulary are refused", "[model_config]") {
  CHECK(refusal({{"eos_token_id", 100}}) ==
        "config.json: eos_token_id: expected an integer from 0 to 99, got 100");
  CHECK_THAT(refusal({{"eos_token_id", {2, -1}}}), ContainsSubstring("got -1"));
  CHECK_THAT(refusal({{"bos_token_id", 100}}), ContainsSubstring("bos_token_id"));
}

TEST_CASE("text that is not a JSON object is refused", "[model_config]") {
  CHECK_THROWS_WITH(parse_model_config("", "config.json"),
                    ContainsSubstring("config.json: not valid JSON"));
  CHECK_THROWS_WITH(parse_model_config("{\n\"a\": }", "config.json"), ContainsSubstring("line 2"));
  CHECK_THROWS_WITH(parse_model_config("[]", "config.json"),
                    "config.json: expected an object, got a list");
  CHECK_THROWS_WITH(parse_model_config(R"({"a":1,"a":2})", "config.json"),
                    "config.json: the key a appears twice");
  CHECK_THROWS_AS(parse_model_config(R"({"a":1e999})", "config.json"), LoadError);
  CHECK_THROWS_AS(parse_model_config(std::string(100'000, '['), "config.json"), LoadError);
}

TEST_CASE("generation_config.json decides about EOS", "[model_config]") {
  const TempDir folder;
  Json config = minimal_config();
  config["eos_token_id"] = 2;
  folder.write("config.json", config.dump());
  CHECK(load_model_config(folder.path()).eos_token_ids == std::vector<TokenId>{2});

  folder.write("generation_config.json", R"({"eos_token_id": [7, 8]})");
  CHECK(load_model_config(folder.path()).eos_token_ids == std::vector<TokenId>{7, 8});

  folder.write("generation_config.json", R"({"eos_token_id": null})");
  CHECK(load_model_config(folder.path()).eos_token_ids == std::vector<TokenId>{2});

  folder.write("generation_config.json", R"({"eos_token_id": 100})");
  CHECK_THROWS_WITH(load_model_config(folder.path()),
                    ContainsSubstring("generation_config.json: eos_token_id: expected an integer"));
}

TEST_CASE("a folder without config.json is refused", "[model_config]") {
  const TempDir folder;
  CHECK_THROWS_WITH(load_model_config(folder.path()),
                    ContainsSubstring("config.json: No such file or directory"));
  std::filesystem::create_directory(folder.path() / "config.json");
  CHECK_THROWS_WITH(load_model_config(folder.path()), ContainsSubstring("got a folder"));
}

TEST_CASE("parameters are counted by hand for a small model", "[model_config]") {
  // One layer: q 4*6, k and v 2*(4*2), o 6*4, mlp 3*4*5, norms 2*4; embedding 3*4; final norm 4.
  Json json = minimal_config();
  json.update({{"vocab_size", 3},
               {"hidden_size", 4},
               {"intermediate_size", 5},
               {"num_hidden_layers", 1},
               {"num_attention_heads", 3},
               {"num_key_value_heads", 1},
               {"head_dim", 2},
               {"tie_word_embeddings", true}});
  CHECK(parse(json).num_parameters() == 24 + 16 + 24 + 60 + 8 + 12 + 4);
  json["tie_word_embeddings"] = false;
  CHECK(parse(json).num_parameters() == 148 + 12);
  json["attention_bias"] = true;  // q 6, k and v 2 each, o 4
  CHECK(parse(json).num_parameters() == 160 + 14);
  json["mlp_bias"] = true;  // gate and up 5 each, down 4
  CHECK(parse(json).num_parameters() == 174 + 14);
}

TEST_CASE("dtypes are read and written by name", "[dtype]") {
  for (const auto dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    CHECK(parse_dtype(to_string(dtype)) == dtype);
    CHECK(parse_dtype("torch." + std::string(to_string(dtype))) == dtype);
  }
  CHECK_THROWS_AS(parse_dtype("float64"), InvalidArgument);
  CHECK_THROWS_AS(parse_dtype(""), InvalidArgument);
  CHECK(element_size(DType::kFloat32) == 4);
  CHECK(element_size(DType::kBFloat16) == 2);
  CHECK(element_size(DType::kFloat16) == 2);
}

}  // namespace
}  // namespace prepack

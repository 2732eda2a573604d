// What a GGUF file says of its model, beside its weights: configuration and names of tensors.

#include "model/gguf_config.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "prepack/error.h"
#include "prepack/model_config.h"
#include "support/catch.h"
#include "support/gguf_writer.h"
#include "support/temp_dir.h"
#include "weights/checkpoint.h"
#include "weights/gguf_architecture.h"

namespace prepack {
namespace {

using nlohmann::json;
using testing::GgufWriter;
using testing::TempDir;

const auto kData = std::filesystem::path(PREPACK_SOURCE_DIR) / "tests/data";

constexpr uint32_t kF32 = 0;

/// A small model's metadata under its family's prefix, and its embedding.
GgufWriter small_model(const std::string& family, std::string_view without = "") {
  GgufWriter writer;
  writer.text("general.architecture", family);
  const auto integer = [&](const std::string& key, uint32_t value) {
    if (key != without) writer.integer(family + "." + key, value);
  };
  integer("embedding_length", 8);
  integer("feed_forward_length", 12);
  integer("block_count", 2);
  integer("attention.head_count", 2);
  integer("attention.head_count_kv", 1);
  integer("context_length", 64);
  if (without != "attention.layer_norm_rms_epsilon") {
    writer.real(family + ".attention.layer_norm_rms_epsilon", 1e-6F);
  }
  if (without != "token_embd.weight") {
    writer.tensor("token_embd.weight", {8, 5}, kF32, std::string(160, '\0'));
  }
  return writer;
}

json config_of(const GgufWriter& writer) {
  const auto file = writer.bytes();
  const auto bytes = std::as_bytes(std::span(file));
  return gguf_config(parse_gguf(bytes, "w.gguf"), bytes);
}

/// A GGUF file and what it was made from.
struct Converted {
  std::filesystem::path file;
  std::filesystem::path folder;
  std::filesystem::path config_folder;  // where the config.json is that says what the file says
};

std::vector<Converted> converted_models() {
  std::vector<Converted> models;
  for (const std::string name :
       {"llama-biased", "llama-scaled", "llama-yarn", "mistral-windowed", "qwen2-mixed",
        "qwen3-mixed", "phi3-fused", "phi3-longrope", "smollm3-nope"}) {
    const auto folder = kData / "models" / name;
    const auto beside = kData / "gguf" / name;
    models.push_back({kData / "gguf" / (name + ".gguf"), folder,
                      std::filesystem::exists(beside / "config.json") ? beside : folder});
  }
  return models;
}

/// The file has factors as float32.
void check_factors(const std::vector<double>& got, const std::vector<double>& expected) {
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == static_cast<float>(expected[i]));
}

void check_rope(const RopeConfig& got, const RopeConfig& expected) {
  CHECK(got.theta == expected.theta);
  if (std::holds_alternative<Llama3RopeScaling>(expected.scaling)) {
    CHECK(std::get<FrequencyFactors>(got.scaling).factors.size() == 6);
    return;
  }
  REQUIRE(got.scaling.index() == expected.scaling.index());
  if (const auto* linear = std::get_if<LinearRopeScaling>(&expected.scaling)) {
    CHECK(std::get<LinearRopeScaling>(got.scaling).factor == linear->factor);
  }
  if (const auto* yarn = std::get_if<YarnRopeScaling>(&expected.scaling)) {
    const auto& got_yarn = std::get<YarnRopeScaling>(got.scaling);
    CHECK(got_yarn.factor == yarn->factor);
    CHECK(got_yarn.attention_factor == yarn->attention_factor);
    CHECK(got_yarn.beta_fast == yarn->beta_fast);
    CHECK(got_yarn.beta_slow == yarn->beta_slow);
    CHECK(got_yarn.truncate == yarn->truncate);
    CHECK(got_yarn.original_max_position_embeddings == yarn->original_max_position_embeddings);
  }
  if (const auto* longrope = std::get_if<LongRopeScaling>(&expected.scaling)) {
    const auto& got_longrope = std::get<LongRopeScaling>(got.scaling);
    check_factors(got_longrope.long_factor, longrope->long_factor);
    check_factors(got_longrope.short_factor, longrope->short_factor);
    CHECK(static_cast<float>(got_longrope.attention_factor) ==
          static_cast<float>(longrope->attention_factor));
    CHECK(got_longrope.original_max_position_embeddings ==
          longrope->original_max_position_embeddings);
  }
}

TEST_CASE("a GGUF file has the configuration of the folder it was made from", "[gguf]") {
  for (const auto& model : converted_models()) {
    INFO(model.file);
    const auto expected = load_model_config(model.config_folder);
    const auto got = load_model_config(model.file);
    const bool is_mistral = expected.architecture == "MistralForCausalLM";  // GGUF has one for both
    CHECK(got.architecture == (is_mistral ? "LlamaForCausalLM" : expected.architecture));
    CHECK(got.vocab_size == expected.vocab_size);
    CHECK(got.hidden_size == expected.hidden_size);
    CHECK(got.intermediate_size == expected.intermediate_size);
    CHECK(got.num_layers == expected.num_layers);
    CHECK(got.num_heads == expected.num_heads);
    CHECK(got.num_kv_heads == expected.num_kv_heads);
    CHECK(got.head_dim == expected.head_dim);
    CHECK(got.rotary_dim == expected.rotary_dim);
    CHECK(got.max_position_embeddings == expected.max_position_embeddings);
    CHECK(got.rms_norm_eps == expected.rms_norm_eps);
    check_rope(got.rope, expected.rope);
    CHECK(got.tie_word_embeddings == expected.tie_word_embeddings);
    CHECK(got.qkv_bias == expected.qkv_bias);
    CHECK(got.attention_output_bias == expected.attention_output_bias);
    CHECK(got.mlp_bias == expected.mlp_bias);
    CHECK(got.qk_norm == expected.qk_norm);
    CHECK(got.sliding_windows == expected.sliding_windows);
    CHECK(got.rope_layers == expected.rope_layers);
    CHECK(got.bos_token_id == expected.bos_token_id);
    CHECK(got.eos_token_ids == expected.eos_token_ids);
    CHECK(got.num_parameters() == expected.num_parameters());
  }
  CHECK(load_model_config(kData / "gguf/llama-biased.gguf").dtype == DType::kFloat32);
  CHECK(load_model_config(kData / "gguf/llama-scaled.gguf").dtype == DType::kFloat16);
  CHECK(load_model_config(kData / "gguf/mistral-windowed.gguf").dtype == DType::kBFloat16);
}

TEST_CASE("a GGUF file has the tensors of the folder it was made from, by their names", "[gguf]") {
  for (const auto& model : converted_models()) {
    INFO(model.file);
    const auto expected = Checkpoint::open(model.folder);
    const auto got = Checkpoint::open(model.file);
    CHECK(got.format() == "GGUF");
    CHECK(expected.format() == "safetensors");
    REQUIRE(got.tensors().size() == expected.tensors().size());
    for (const auto& [tensor_name, tensor] : expected.tensors()) {
      INFO(tensor_name);
      REQUIRE(got.find(tensor_name) != nullptr);
      CHECK(got.find(tensor_name)->info.shape == tensor.info.shape);
    }
  }
}

TEST_CASE("every family's tensors have the names that the decoder binds", "[gguf]") {
  const auto name = [](const char* family, const char* tensor) {
    const auto file = GgufWriter().text("general.architecture", family).bytes();
    const auto header = parse_gguf(std::as_bytes(std::span(file)), "w.gguf");
    return hugging_face_name(find_architecture(header.metadata), tensor);
  };
  for (const auto* family : {"llama", "qwen2", "qwen3", "phi3", "smollm3"}) {
    CHECK(name(family, "token_embd.weight") == "model.embed_tokens.weight");
    CHECK(name(family, "output_norm.weight") == "model.norm.weight");
    CHECK(name(family, "output.weight") == "lm_head.weight");
    CHECK(name(family, "blk.12.attn_norm.weight") == "model.layers.12.input_layernorm.weight");
    CHECK(name(family, "blk.0.ffn_norm.weight") ==
          "model.layers.0.post_attention_layernorm.weight");
    CHECK(name(family, "blk.0.attn_output.weight") == "model.layers.0.self_attn.o_proj.weight");
    CHECK(name(family, "blk.0.ffn_down.weight") == "model.layers.0.mlp.down_proj.weight");
    CHECK(name(family, "blk.0.other.weight") == "blk.0.other.weight");
    CHECK(name(family, "other") == "other");
    CHECK(name(family, "blk") == "blk");
    CHECK(name(family, "blk.0") == "blk.0");
  }
  CHECK(name("qwen2", "blk.0.attn_q.bias") == "model.layers.0.self_attn.q_proj.bias");
  CHECK(name("qwen3", "blk.1.attn_q_norm.weight") == "model.layers.1.self_attn.q_norm.weight");
  CHECK(name("qwen3", "blk.1.attn_k_norm.weight") == "model.layers.1.self_attn.k_norm.weight");
  CHECK(name("llama", "blk.0.ffn_gate.weight") == "model.layers.0.mlp.gate_proj.weight");
  CHECK(name("llama", "blk.0.ffn_up.weight") == "model.layers.0.mlp.up_proj.weight");
  CHECK(name("phi3", "blk.0.ffn_up.weight") == "model.layers.0.mlp.gate_up_proj.weight");
  CHECK(name("phi3", "blk.0.attn_qkv.weight") == "model.layers.0.self_attn.qkv_proj.weight");
}

TEST_CASE("only the heads of families that interleave them are put in order", "[gguf]") {
  for (const auto& [family, interleaved] : {std::pair{"llama", true},
                                            {"smollm3", true},
                                            {"qwen2", false},
                                            {"qwen3", false},
                                            {"phi3", false}}) {
    INFO(family);
    const TempDir folder;
    auto writer = small_model(family);
    writer.tensor("blk.0.attn_q.weight", {8, 8}, kF32, std::string(256, '\0'));
    writer.tensor("blk.0.attn_k.weight", {8, 4}, kF32, std::string(128, '\0'));
    writer.tensor("blk.0.attn_v.weight", {8, 4}, kF32, std::string(128, '\0'));
    writer.tensor("blk.0.attn_q_norm.weight", {4}, kF32, std::string(16, '\0'));
    const auto checkpoint = Checkpoint::open(folder.write("w.gguf", writer.bytes()));
    const auto num_heads = [&](const char* name) {
      return checkpoint.find(std::string("model.layers.0.self_attn.") + name)
          ->num_interleaved_heads;
    };
    CHECK(num_heads("q_proj.weight") == (interleaved ? 2 : 0));
    CHECK(num_heads("k_proj.weight") == (interleaved ? 1 : 0));
    CHECK(num_heads("v_proj.weight") == 0);
    CHECK(num_heads("q_norm.weight") == 0);
  }
}

TEST_CASE("heads that do not fit the rows of queries are an error", "[gguf]") {
  const TempDir folder;
  auto writer = small_model("llama");
  writer.tensor("blk.0.attn_q.weight", {8, 6}, kF32, std::string(192, '\0'));
  CHECK_THROWS_WITH(Checkpoint::open(folder.write("w.gguf", writer.bytes())),
                    ContainsSubstring("w.gguf: model.layers.0.self_attn.q_proj.weight: expected "
                                      "rows for 2 heads"));
}

TEST_CASE("each family becomes the architecture of its config.json", "[gguf]") {
  for (const auto& [family, architecture] : {std::pair{"llama", "LlamaForCausalLM"},
                                             {"qwen2", "Qwen2ForCausalLM"},
                                             {"qwen3", "Qwen3ForCausalLM"},
                                             {"phi3", "Phi3ForCausalLM"},
                                             {"smollm3", "SmolLM3ForCausalLM"}}) {
    const auto config = config_of(small_model(family));
    CHECK(config["architectures"] == json::array({architecture}));
    CHECK(config["head_dim"] == 4);
    CHECK(config["rms_norm_eps"] == 1e-6);
    CHECK(config["tie_word_embeddings"] == true);
    CHECK(config["attention_bias"] == false);
    CHECK(config["sliding_window"].is_null());
    CHECK(config["eos_token_id"].empty());
    CHECK_FALSE(config.contains("rope_scaling"));
    CHECK_FALSE(config.contains("partial_rotary_factor"));
  }
}

TEST_CASE("what families differ in is in the configuration", "[gguf]") {
  auto writer = small_model("phi3");
  writer.integer("phi3.attention.sliding_window", 2047)
      .integer("phi3.rope.dimension_count", 2)
      .integer("phi3.rope.scaling.original_context_length", 32)
      .real("phi3.rope.scaling.attn_factor", 1.25F)
      .real("phi3.rope.freq_base", 1e6F)
      .integer("tokenizer.ggml.bos_token_id", 1)
      .integer("tokenizer.ggml.eos_token_id", 2)
      .integer("tokenizer.ggml.eot_token_id", 3)
      .integer("tokenizer.ggml.eom_token_id", 3)
      .tensor("output.weight", {8, 5}, kF32, std::string(160, '\0'))
      .tensor("rope_factors_long.weight", {1}, kF32, GgufWriter::number(1.5F))
      .tensor("rope_factors_short.weight", {1}, kF32, GgufWriter::number(1.25F));
  const auto config = config_of(writer);
  CHECK(config["sliding_window"] == 2047);
  CHECK(config["partial_rotary_factor"] == 0.5);
  CHECK(config["rope_theta"] == 1e6);
  CHECK(config["tie_word_embeddings"] == false);
  CHECK(config["bos_token_id"] == 1);
  CHECK(config["eos_token_id"] == json::array({2, 3}));
  CHECK(config["original_max_position_embeddings"] == 32);
  CHECK(config["rope_scaling"] == json{{"rope_type", "longrope"},
                                       {"long_factor", {1.5}},
                                       {"short_factor", {1.25}},
                                       {"attention_factor", 1.25}});
}

TEST_CASE("the metadata say how RoPE is scaled", "[gguf]") {
  const auto scaling = [](const GgufWriter& writer) {
    return config_of(writer).value("rope_scaling", json());
  };
  const auto model = [] { return small_model("qwen2"); };
  const std::string prefix = "qwen2.rope.scaling.";
  const json linear = {{"rope_type", "linear"}, {"factor", 4.0}};
  CHECK(scaling(model().text(prefix + "type", "linear").real(prefix + "factor", 4)) == linear);
  CHECK(scaling(model().real(prefix + "factor", 4)) == linear);
  CHECK(scaling(model().real("qwen2.rope.scale_linear", 4)) == linear);
  CHECK(scaling(
            model().text("qwen2.rope.scaling.type", "linear").real("qwen2.rope.scale_linear", 4)) ==
        linear);
  CHECK(scaling(model().real("qwen2.rope.scale_linear", 0)).is_null());
  CHECK(scaling(model().text(prefix + "type", "none").real(prefix + "factor", 4)).is_null());

  auto yarn = model();
  yarn.text(prefix + "type", "yarn").real(prefix + "factor", 4);
  CHECK(scaling(yarn) == json{{"rope_type", "yarn"}, {"factor", 4.0}});
  yarn.real(prefix + "yarn_attn_factor", 1.5F)
      .real(prefix + "yarn_beta_fast", 16)
      .real(prefix + "yarn_beta_slow", 2)
      .real(prefix + "yarn_ext_factor", 1)
      .real(prefix + "yarn_log_multiplier", 0.5F);
  CHECK(scaling(yarn) == json{{"rope_type", "yarn"},
                              {"factor", 4.0},
                              {"attention_factor", 1.5},
                              {"beta_fast", 16.0},
                              {"beta_slow", 2.0},
                              {"mscale", 1},
                              {"mscale_all_dim", 0.5}});
  auto extrapolates = model();
  extrapolates.text(prefix + "type", "yarn").real(prefix + "factor", 4);
  CHECK_THROWS_WITH(
      config_of(extrapolates.real(prefix + "yarn_ext_factor", 0.5F)),
      ContainsSubstring("w.gguf: qwen2.rope.scaling.yarn_ext_factor: others than 1 are not"));
  CHECK_THROWS_WITH(config_of(model().text(prefix + "type", "yarn")),
                    ContainsSubstring("qwen2.rope.scaling.factor: is missing"));
  CHECK_THROWS_WITH(config_of(model().text(prefix + "type", "longrope").real(prefix + "factor", 4)),
                    ContainsSubstring("rope_factors_long.weight: the tensor is missing"));
}

TEST_CASE("a window that the file cannot say the layers of is an error", "[gguf]") {
  for (const std::string family : {"llama", "qwen2", "qwen3", "smollm3"}) {
    const auto window = [&](uint32_t size) {
      return small_model(family).integer(family + ".attention.sliding_window", size);
    };
    CHECK_THROWS_WITH(
        config_of(window(7)),
        ContainsSubstring("w.gguf: " + family + ".attention.sliding_window: not supported"));
    for (const uint32_t none : {0U, 1U << 20U}) {
      CHECK(config_of(window(none))["sliding_window"].is_null());
    }
  }
}

TEST_CASE("the dtype is what matrices load as", "[gguf]") {
  constexpr uint32_t kF16 = 1;
  constexpr uint32_t kQ8_0 = 8;
  constexpr uint32_t kBF16 = 30;
  const auto dtype = [](const std::vector<std::pair<uint32_t, size_t>>& matrices) {
    auto writer = small_model("llama", "token_embd.weight");
    writer.tensor("output_norm.weight", {8}, kF32, std::string(32, '\0'));
    auto name = std::string("token_embd.weight");
    for (const auto& [type, bytes] : matrices) {
      writer.tensor(name, {32, 1}, type, std::string(bytes, '\0'));
      name = "output.weight";
    }
    return config_of(writer)["dtype"].get<std::string>();
  };
  CHECK(dtype({{kF32, 128}}) == "float32");
  CHECK(dtype({{kF16, 64}}) == "float16");
  CHECK(dtype({{kBF16, 64}}) == "bfloat16");
  CHECK(dtype({{kQ8_0, 34}}) == "bfloat16");
  CHECK(dtype({{kQ8_0, 34}, {kF16, 64}}) == "bfloat16");
  CHECK(dtype({{kQ8_0, 34}, {kF32, 128}}) == "float32");
}

TEST_CASE("metadata that are missing, or of what is not supported, are named", "[gguf]") {
  for (const auto* key :
       {"embedding_length", "feed_forward_length", "block_count", "attention.head_count",
        "context_length", "attention.layer_norm_rms_epsilon"}) {
    CHECK_THROWS_WITH(config_of(small_model("llama", key)),
                      ContainsSubstring("w.gguf: llama." + std::string(key) + ": is missing"));
  }
  CHECK_THROWS_WITH(config_of(small_model("llama", "token_embd.weight")),
                    ContainsSubstring("w.gguf: token_embd.weight: the tensor is missing"));
  CHECK_THROWS_WITH(config_of(small_model("mamba")),
                    ContainsSubstring("w.gguf: general.architecture: expected one of llama, qwen2, "
                                      "qwen3, phi3, smollm3, got mamba"));
  CHECK_THROWS_WITH(config_of(GgufWriter()), ContainsSubstring("general.architecture: is missing"));
  CHECK_THROWS_WITH(config_of(small_model("llama").integer("llama.expert_count", 8)),
                    ContainsSubstring("llama.expert_count: mixtures of experts"));
  CHECK_THROWS_WITH(config_of(small_model("llama").integer("llama.attention.value_length", 6)),
                    ContainsSubstring("keys of 4 dimensions and values of 6"));
  CHECK_THROWS_WITH(
      config_of(small_model("llama").tensor("rope_freqs.weight", {3}, kF32, std::string(12, 'x'))),
      ContainsSubstring("rope_freqs.weight: expected F32 of shape [2], got F32 of "
                        "shape [3]"));
  auto per_layer = small_model("llama", "attention.head_count_kv");
  per_layer.integers("llama.attention.head_count_kv", {1, 2});
  CHECK_THROWS_WITH(config_of(per_layer),
                    ContainsSubstring("llama.attention.head_count_kv: expected an integer, got a "
                                      "list of 2 values"));
  auto no_heads = small_model("llama", "attention.head_count");
  no_heads.integer("llama.attention.head_count", 0);
  CHECK_THROWS_WITH(config_of(no_heads), ContainsSubstring("expected at least 1, got 0"));
}

TEST_CASE("an EOS outside the vocabulary is an error that names the file", "[gguf]") {
  const TempDir folder;
  const auto path = folder.write(
      "w.gguf", small_model("llama").integer("tokenizer.ggml.eos_token_id", 5).bytes());
  CHECK_THROWS_WITH(load_model_config(path), ContainsSubstring("w.gguf: eos_token_id: expected"));
}

}  // namespace
}  // namespace prepack

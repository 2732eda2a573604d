#include <nlohmann/json.hpp>
#include <string>

#include "model/checkpoint_quantization_config.h"
#include "prepack/error.h"
#include "prepack/model_config.h"
#include "support/catch.h"
#include "support/temp_dir.h"

namespace prepack {
namespace {

using Json = nlohmann::json;
using Method = CheckpointQuantization::Method;

const Json kModel = {{"architectures", {"LlamaForCausalLM"}},
                     {"vocab_size", 100},
                     {"hidden_size", 64},
                     {"intermediate_size", 64},
                     {"num_hidden_layers", 2},
                     {"num_attention_heads", 4}};

/// What config.json says with this quantization_config.
std::optional<CheckpointQuantization> parse(const Json& quantization) {
  auto json = kModel;
  json["quantization_config"] = quantization;
  return parse_model_config(json.dump(), "config.json").checkpoint_quantization;
}

Json gptq(const Json& more = Json::object()) {
  Json json = {{"quant_method", "gptq"}, {"bits", 4}, {"group_size", 128}};
  json.update(more);
  return json;
}

Json awq(const Json& more = Json::object()) {
  Json json = {{"quant_method", "awq"}, {"bits", 4}, {"group_size", 128}, {"version", "gemm"}};
  json.update(more);
  return json;
}

std::string refusal(const Json& quantization) {
  try {
    parse(quantization);
  } catch (const LoadError& error) {
    return error.what();
  }
  return "accepted";
}

TEST_CASE("GPTQ's keys are read", "[packed][model_config]") {
  const auto usual = parse(gptq({{"sym", true}, {"damp_percent", 0.1}, {"desc_act", false}}));
  REQUIRE(usual.has_value());
  CHECK(usual->method == Method::kGptq);
  CHECK(usual->bits == 4);
  CHECK(usual->group_size == 128);
  CHECK(usual->stores_zeros_less_1);
  CHECK_FALSE(usual->has_own_order);
  CHECK(to_string(*usual) == "GPTQ, 4 bits in groups of 128");

  const auto other = parse(gptq({{"bits", 8},
                                 {"group_size", -1},
                                 {"desc_act", true},
                                 {"checkpoint_format", "gptq_v2"},
                                 {"dynamic", {{"-:.*down_proj", Json::object()}}}}));
  CHECK(other->bits == 8);
  CHECK_FALSE(other->stores_zeros_less_1);
  CHECK(other->has_own_order);
  CHECK(to_string(*other) == "GPTQ, 8 bits in whole rows");
  CHECK_FALSE(parse(gptq({{"format", "gptq_v2"}}))->stores_zeros_less_1);
  CHECK(parse({{"quant_method", "gptq"}, {"bits", 4}})->group_size == 128);
}

TEST_CASE("AWQ's keys are read", "[packed][model_config]") {
  const auto usual =
      parse(awq({{"version", "GEMM"}, {"group_size", 64}, {"modules_to_not_convert", {"x"}}}));
  REQUIRE(usual.has_value());
  CHECK(usual->method == Method::kAwq);
  CHECK(usual->bits == 4);
  CHECK(usual->group_size == 64);
  CHECK_FALSE(usual->stores_zeros_less_1);
  CHECK(to_string(*usual) == "AWQ, 4 bits in groups of 64");
  CHECK(parse({{"quant_method", "awq"}})->group_size == 128);
  CHECK(parse(awq({{"zero_point", false}, {"sym", true}}))->bits == 4);
}

TEST_CASE("a model that is not packed has no packed format", "[packed][model_config]") {
  CHECK_FALSE(parse(nullptr).has_value());
  CHECK_FALSE(parse_model_config(kModel.dump(), "config.json").checkpoint_quantization.has_value());
}

TEST_CASE("the last group of a row may be smaller", "[packed]") {
  CHECK(parse(gptq())->num_groups(256) == 2);
  CHECK(parse(gptq())->num_groups(288) == 3);
  CHECK(parse(gptq({{"group_size", -1}}))->num_groups(288) == 1);
}

TEST_CASE("other ways to quantize are refused, by key and value", "[packed][model_config]") {
  const auto check = [](const Json& quantization, const std::string& problem) {
    CHECK(refusal(quantization) == "config.json: quantization_config" + problem);
  };
  for (const auto* method : {"bitsandbytes", "fp8", "compressed-tensors", "auto-round"}) {
    check({{"quant_method", method}, {"bits", 4}},
          std::string(": quant_method: expected gptq or awq, got ") + method);
  }
  check({{"load_in_4bit", true}}, ": quant_method: expected gptq or awq, got none");
  check(gptq({{"bits", 3}}), ": bits: expected 4 or 8, got 3");
  check(awq({{"bits", 8}}), ": bits: expected 4, got 8");
  check(gptq({{"bits", nullptr}}), ": bits: is missing");
  check(gptq({{"bits", "4"}}), ": bits: expected an integer from 1 to 64, got \"4\"");
  check(gptq({{"group_size", 16}}), ": group_size: expected 32, 64, 128 or -1, got 16");
  check(awq({{"group_size", 0}}), ": group_size: expected 32, 64, 128 or -1, got 0");
  check(gptq({{"checkpoint_format", "marlin"}}),
        ": checkpoint_format: expected gptq or gptq_v2, got marlin");
  check(gptq({{"is_marlin_format", true}}), ": is_marlin_format: expected false, got true");
  check(gptq({{"lm_head", true}}), ": lm_head: expected false, got true");
  check(gptq({{"pack_dtype", "int64"}}), ": pack_dtype: expected int32, got int64");
  check(gptq({{"dynamic", {{"+:.*down_proj", {{"bits", 8}}}}}}),
        ": dynamic: expected patterns that begin with -: alone, got +:.*down_proj");
  check(awq({{"version", "gemv"}}), ": version: expected gemm, got gemv");
  check(awq({{"version", nullptr}, {"format", "marlin"}}), ": format: expected gemm, got marlin");
  check(awq({{"version", nullptr}, {"checkpoint_format", "gemv"}}),
        ": checkpoint_format: expected gemm, got gemv");
  check(awq({{"backend", "llm-awq"}}), ": backend: expected the layout of autoawq, got llm-awq");
}

TEST_CASE("quantize_config.json is read where config.json has no such key",
          "[packed][model_config]") {
  const testing::TempDir folder;
  folder.write("config.json", kModel.dump());
  CHECK_FALSE(load_model_config(folder.path()).checkpoint_quantization.has_value());
  const auto path =
      folder.write("quantize_config.json", Json({{"bits", 4}, {"group_size", 64}}).dump());
  CHECK(load_model_config(folder.path()).checkpoint_quantization->group_size == 64);
  folder.write("quantize_config.json", Json({{"bits", 2}}).dump());
  CHECK_THROWS_WITH(load_model_config(folder.path()),
                    path.string() + ": bits: expected 4 or 8, got 2");
  auto json = kModel;
  json["quantization_config"] = gptq({{"group_size", 32}});
  folder.write("config.json", json.dump());
  CHECK(load_model_config(folder.path()).checkpoint_quantization->group_size == 32);
}

}  // namespace
}  // namespace prepack

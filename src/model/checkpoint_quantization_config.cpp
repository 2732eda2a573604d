#include "model/checkpoint_quantization_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <string>

#include "weights/json.h"

namespace prepack {
namespace {

constexpr IntegerRange kBits = {1, 64};
constexpr IntegerRange kGroupSizes = {-1, 1 << 24};

[[noreturn]] void refuse(const ConfigReader& config, const char* key, std::string_view expected,
                         const std::string& got) {
  config.fail(key, fmt::format("expected {}, got {}", expected, got));
}

std::string lower_case(std::string text) {
  std::ranges::transform(text, text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  });
  return text;
}

/// How the words are laid out, in lower case: "gptq", "gemm".
struct Layout {
  const char* key;
  std::string value;
};

/// By the first of the keys that is there: programs, and their versions, call it differently.
Layout read_layout(const ConfigReader& config, std::initializer_list<const char*> keys,
                   const char* absent) {
  for (const auto* key : keys) {
    if (config.has(key)) return {key, lower_case(config.string(key, absent))};
  }
  return {*keys.begin(), absent};
}

CheckpointQuantization::Method read_method(const ConfigReader& config, const char* absent) {
  constexpr auto kKey = "quant_method";
  const auto method = lower_case(config.string(kKey, absent));
  if (method == "gptq") return CheckpointQuantization::Method::kGptq;
  if (method == "awq") return CheckpointQuantization::Method::kAwq;
  refuse(config, kKey, "gptq or awq", config.has(kKey) ? printable(method) : "none");
}

int64_t read_group_size(const ConfigReader& config) {
  constexpr auto kKey = "group_size";
  const int64_t size = config.integer(kKey, kGroupSizes, 128);
  if (size != CheckpointQuantization::kWholeRow && size != 32 && size != 64 && size != 128) {
    refuse(config, kKey, "32, 64, 128 or -1", std::to_string(size));
  }
  return size;
}

void require_false(const ConfigReader& config, const char* key) {
  if (config.boolean(key, false)) refuse(config, key, "false", "true");
}

/// Patterns of names may be left out of quantizing ("-:"), but not be quantized in another way.
void check_dynamic(const ConfigReader& config) {
  constexpr auto kKey = "dynamic";
  const auto patterns = config.object(kKey);
  if (!patterns) return;
  for (const auto& pattern : patterns->keys()) {
    if (!pattern.starts_with("-:")) {
      refuse(config, kKey, "patterns that begin with -: alone", printable(pattern));
    }
  }
}

void read_gptq(const ConfigReader& config, CheckpointQuantization& result) {
  if (result.bits != 4 && result.bits != 8) {
    refuse(config, "bits", "4 or 8", std::to_string(result.bits));
  }
  require_false(config, "is_marlin_format");
  const auto layout = read_layout(config, {"checkpoint_format", "format"}, "gptq");
  if (layout.value != "gptq" && layout.value != "gptq_v2") {
    refuse(config, layout.key, "gptq or gptq_v2", printable(layout.value));
  }
  result.stores_zeros_less_1 = layout.value == "gptq";
  result.has_own_order = config.boolean("desc_act", false);
}

void read_awq(const ConfigReader& config, CheckpointQuantization& result) {
  if (result.bits != 4) refuse(config, "bits", "4", std::to_string(result.bits));
  if (config.has("backend") && config.string("backend", "") == "llm-awq") {
    refuse(config, "backend", "the layout of autoawq", "llm-awq");
  }
  const auto layout = read_layout(config, {"version", "format", "checkpoint_format"}, "gemm");
  if (layout.value != "gemm") {
    refuse(config, layout.key, "gemm", printable(layout.value));
  }
}

}  // namespace

CheckpointQuantization read_checkpoint_quantization(const ConfigReader& config,
                                                    const char* absent_method) {
  CheckpointQuantization result;
  result.method = read_method(config, absent_method);
  const bool is_gptq = result.method == CheckpointQuantization::Method::kGptq;
  result.bits =
      static_cast<int>(is_gptq ? config.integer("bits", kBits) : config.integer("bits", kBits, 4));
  result.group_size = read_group_size(config);
  const auto word = config.string("pack_dtype", "int32");
  if (word != "int32") refuse(config, "pack_dtype", "int32", printable(word));
  require_false(config, "lm_head");
  check_dynamic(config);
  if (is_gptq) {
    read_gptq(config, result);
  } else {
    read_awq(config, result);
  }
  return result;
}

}  // namespace prepack

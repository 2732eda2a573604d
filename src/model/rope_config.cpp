#include "model/rope_config.h"

#include <fmt/format.h>

#include <limits>

#include "weights/json.h"

namespace prepack {
namespace {

constexpr NumberRange kThetaRange = {1.0, 1e15};
constexpr NumberRange kFactorRange = {1e-3, 1e6};
constexpr IntegerRange kLengthRange = {1, std::numeric_limits<int32_t>::max()};

/// Where a file has both, transformers follows the older one.
std::optional<ConfigReader> rope_object(const ConfigReader& config) {
  return config.object(config.has("rope_scaling") ? "rope_scaling" : "rope_parameters");
}

Llama3RopeScaling read_llama3(const ConfigReader& config, const ConfigReader& parameters,
                              int64_t max_position_embeddings) {
  Llama3RopeScaling scaling = {};
  scaling.factor = parameters.number("factor", kFactorRange);
  scaling.low_freq_factor = parameters.number("low_freq_factor", kFactorRange);
  scaling.high_freq_factor = parameters.number("high_freq_factor", kFactorRange);
  if (scaling.high_freq_factor <= scaling.low_freq_factor) {
    parameters.fail("high_freq_factor",
                    fmt::format("expected more than low_freq_factor, {}, got {}",
                                scaling.low_freq_factor, scaling.high_freq_factor));
  }
  // transformers lets a length beside rope_scaling win over the one inside it.
  const auto* key = "original_max_position_embeddings";
  scaling.original_max_position_embeddings =
      config.has(key) ? config.integer(key, kLengthRange)
                      : parameters.integer(key, kLengthRange, max_position_embeddings);
  return scaling;
}

}  // namespace

double read_partial_rotary_factor(const ConfigReader& config) {
  constexpr auto kKey = "partial_rotary_factor";
  const auto parameters = rope_object(config);
  const auto& inner = parameters && parameters->has(kKey) ? *parameters : config;
  return inner.number(kKey, {0.0, 1.0}, 1.0);
}

RopeConfig read_rope_config(const ConfigReader& config, int64_t max_position_embeddings,
                            double default_theta) {
  RopeConfig rope;
  rope.theta = config.number("rope_theta", kThetaRange, default_theta);
  const auto parameters = rope_object(config);
  if (!parameters) return rope;

  rope.theta = parameters->number("rope_theta", kThetaRange, rope.theta);
  const auto type = parameters->string("rope_type", parameters->string("type", "default"));
  if (type == "linear") {
    rope.scaling = LinearRopeScaling{parameters->number("factor", kFactorRange)};
  } else if (type == "llama3") {
    rope.scaling = read_llama3(config, *parameters, max_position_embeddings);
  } else if (type != "default") {
    parameters->fail("rope_type", fmt::format("expected default, linear or llama3, got \"{}\"",
                                              printable(type)));
  }
  return rope;
}

}  // namespace prepack

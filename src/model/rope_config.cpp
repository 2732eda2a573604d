#include "model/rope_config.h"

#include <fmt/format.h>

#include <limits>

#include "weights/json.h"

namespace prepack {
namespace {

constexpr double kDefaultTheta = 10000.0;
constexpr NumberRange kThetaRange = {1.0, 1e15};
constexpr NumberRange kFactorRange = {1e-3, 1e6};
constexpr IntegerRange kLengthRange = {1, std::numeric_limits<int32_t>::max()};

/// Models that rotate a part of each head only are not supported; 1 is the whole.
void check_rotates_whole_head(const ConfigReader& config) {
  if (config.number("partial_rotary_factor", {0.0, 1.0}, 1.0) != 1.0) {
    config.fail("partial_rotary_factor", "expected 1, others are not supported");
  }
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

RopeConfig read_rope_config(const ConfigReader& config, int64_t max_position_embeddings) {
  check_rotates_whole_head(config);
  RopeConfig rope;
  rope.theta = config.number("rope_theta", kThetaRange, kDefaultTheta);
  // Where a file has both, transformers follows the older one.
  const auto parameters =
      config.object(config.has("rope_scaling") ? "rope_scaling" : "rope_parameters");
  if (!parameters) return rope;

  check_rotates_whole_head(*parameters);
  rope.theta = parameters->number("rope_theta", kThetaRange, rope.theta);
  const auto type = parameters->string("rope_type", parameters->string("type", "default"));
  if (type == "linear") {
    rope.scaling = LinearRopeScaling{parameters->number("factor", kFactorRange)};
  } else if (type == "llama3") {
    rope.scaling = read_llama3(config, *parameters, max_position_embeddings);
  } else if (type == kFrequencyFactors) {
    rope.scaling = FrequencyFactors{parameters->numbers("factors", kFactorRange)};
  } else if (type != "default") {
    parameters->fail("rope_type", fmt::format("expected default, linear or llama3, got \"{}\"",
                                              printable(type)));
  }
  return rope;
}

}  // namespace prepack

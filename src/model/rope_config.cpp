#include "model/rope_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "weights/json.h"

namespace prepack {
namespace {

constexpr NumberRange kThetaRange = {1.0, 1e15};
constexpr NumberRange kFactorRange = {1e-3, 1e6};
constexpr NumberRange kScaleRange = {0.0, 1e6};
constexpr IntegerRange kLengthRange = {1, std::numeric_limits<int32_t>::max()};

/// Where a file has both, transformers follows the older one, unless that is empty.
std::optional<ConfigReader> rope_object(const ConfigReader& config) {
  auto older = config.object("rope_scaling");
  return older && !older->keys().empty() ? older : config.object("rope_parameters");
}

/// transformers lets a length beside rope_scaling win over the one inside it.
int64_t read_original_context(const ConfigReader& config, const ConfigReader& parameters,
                              int64_t max_position_embeddings) {
  const auto* key = "original_max_position_embeddings";
  return config.has(key) ? config.integer(key, kLengthRange)
                         : parameters.integer(key, kLengthRange, max_position_embeddings);
}

Llama3RopeScaling read_llama3(const ConfigReader& parameters, int64_t original_context) {
  Llama3RopeScaling scaling = {};
  scaling.factor = parameters.number("factor", kFactorRange);
  scaling.low_freq_factor = parameters.number("low_freq_factor", kFactorRange);
  scaling.high_freq_factor = parameters.number("high_freq_factor", kFactorRange);
  if (scaling.high_freq_factor <= scaling.low_freq_factor) {
    parameters.fail("high_freq_factor",
                    fmt::format("expected more than low_freq_factor, {}, got {}",
                                scaling.low_freq_factor, scaling.high_freq_factor));
  }
  scaling.original_max_position_embeddings = original_context;
  return scaling;
}

DynamicRopeScaling read_dynamic(const ConfigReader& parameters, int64_t rotary_dim,
                                int64_t max_position_embeddings) {
  if (rotary_dim < 4) {  // the exponent is rotary_dim / (rotary_dim - 2)
    parameters.fail("rope_type",
                    fmt::format("dynamic needs 4 rotated dimensions, got {}", rotary_dim));
  }
  return {parameters.number("factor", kFactorRange), max_position_embeddings};
}

/// YaRN's temperature: what attention is multiplied by when the context grows `factor` times.
double yarn_mscale(double factor, double mscale) {
  return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1;
}

YarnRopeScaling read_yarn(const ConfigReader& parameters, double theta, int64_t original_context) {
  if (theta <= 1) {  // whose logarithm is a divisor
    parameters.fail("rope_theta", fmt::format("expected more than 1 for yarn, got {}", theta));
  }
  YarnRopeScaling scaling = {};
  scaling.factor = parameters.number("factor", kFactorRange);
  scaling.beta_fast = parameters.number("beta_fast", kFactorRange, 32);
  scaling.beta_slow = parameters.number("beta_slow", kFactorRange, 1);
  if (scaling.beta_fast < scaling.beta_slow) {
    parameters.fail("beta_fast", fmt::format("expected beta_slow, {}, or more, got {}",
                                             scaling.beta_slow, scaling.beta_fast));
  }
  scaling.truncate = parameters.boolean("truncate", true);
  scaling.original_max_position_embeddings = original_context;
  // The two scales count only together, as in DeepSeek's models.
  const double mscale = parameters.number("mscale", kScaleRange, 0);
  const double mscale_all_dim = parameters.number("mscale_all_dim", kScaleRange, 0);
  const double inferred =
      mscale != 0 && mscale_all_dim != 0
          ? yarn_mscale(scaling.factor, mscale) / yarn_mscale(scaling.factor, mscale_all_dim)
          : yarn_mscale(scaling.factor, 1);
  scaling.attention_factor = parameters.number("attention_factor", kScaleRange, inferred);
  return scaling;
}

std::vector<double> read_pair_factors(const ConfigReader& parameters, const char* key,
                                      int64_t rotary_dim) {
  auto factors = parameters.numbers(key, kFactorRange);
  if (std::ssize(factors) != rotary_dim / 2) {
    parameters.fail(key, fmt::format("expected {} numbers, one for each pair of dimensions, got {}",
                                     rotary_dim / 2, factors.size()));
  }
  return factors;
}

/// Phi-3's files have had other names for it, of which one has come to mean another type.
/// Ref: transformers Phi3Config, convert_rope_params_to_dict
bool is_longrope(std::string_view type, const ConfigReader& parameters) {
  return type == "longrope" || type == "su" || (type == "yarn" && parameters.has("short_factor"));
}

LongRopeScaling read_longrope(const ConfigReader& parameters, int64_t rotary_dim,
                              int64_t original_context, int64_t max_position_embeddings) {
  if (original_context < 2) {  // whose logarithm is a divisor
    parameters.fail("original_max_position_embeddings",
                    fmt::format("expected at least 2 for longrope, got {}", original_context));
  }
  const auto context = static_cast<double>(original_context);
  const double factor = parameters.number("factor", kFactorRange,
                                          static_cast<double>(max_position_embeddings) / context);
  const double inferred = factor <= 1 ? 1 : std::sqrt(1 + std::log(factor) / std::log(context));
  return {
      .short_factor = read_pair_factors(parameters, "short_factor", rotary_dim),
      .long_factor = read_pair_factors(parameters, "long_factor", rotary_dim),
      .attention_factor = parameters.number("attention_factor", kScaleRange, inferred),
      .original_max_position_embeddings = original_context,
  };
}

}  // namespace

double read_partial_rotary_factor(const ConfigReader& config) {
  constexpr auto kKey = "partial_rotary_factor";
  const auto parameters = rope_object(config);
  const auto& inner = parameters && parameters->has(kKey) ? *parameters : config;
  return inner.number(kKey, {0.0, 1.0}, 1.0);
}

RopeConfig read_rope_config(const ConfigReader& config, int64_t rotary_dim,
                            int64_t max_position_embeddings, double default_theta) {
  RopeConfig rope;
  rope.theta = config.number("rope_theta", kThetaRange, default_theta);
  const auto parameters = rope_object(config);
  if (!parameters) return rope;
  for (const char* layers : {"full_attention", "sliding_attention"}) {
    if (parameters->has(layers)) {
      parameters->fail(layers, "RoPE that differs from layer to layer is not supported");
    }
  }

  rope.theta = parameters->number("rope_theta", kThetaRange, rope.theta);
  const auto type = parameters->string("rope_type", parameters->string("type", "default"));
  const auto original_context = [&] {
    return read_original_context(config, *parameters, max_position_embeddings);
  };
  if (type == "linear") {
    rope.scaling = LinearRopeScaling{parameters->number("factor", kFactorRange)};
  } else if (type == "llama3") {
    rope.scaling = read_llama3(*parameters, original_context());
  } else if (type == "dynamic") {
    rope.scaling = read_dynamic(*parameters, rotary_dim, max_position_embeddings);
  } else if (is_longrope(type, *parameters)) {
    rope.scaling =
        read_longrope(*parameters, rotary_dim, original_context(), max_position_embeddings);
  } else if (type == "yarn") {
    rope.scaling = read_yarn(*parameters, rope.theta, original_context());
  } else if (type == kFrequencyFactors) {
    rope.scaling = FrequencyFactors{read_pair_factors(*parameters, "factors", rotary_dim)};
  } else if (type != "default") {
    parameters->fail("rope_type",
                     fmt::format("expected default, linear, dynamic, yarn, longrope or llama3, "
                                 "got \"{}\"",
                                 printable(type)));
  }
  return rope;
}

int64_t reach_of_rope(const RopeConfig& rope, int64_t max_position_embeddings) {
  const auto extended = [&](int64_t context, double factor) {
    const auto reach =
        std::min(static_cast<double>(context) * factor, static_cast<double>(kLengthRange.max));
    return std::max(max_position_embeddings, static_cast<int64_t>(reach));
  };
  // Whether a file means the context before it was stretched or after, nothing in it tells.
  if (const auto* linear = std::get_if<LinearRopeScaling>(&rope.scaling)) {
    return extended(max_position_embeddings, linear->factor);
  }
  if (const auto* dynamic = std::get_if<DynamicRopeScaling>(&rope.scaling)) {
    return extended(dynamic->original_max_position_embeddings, dynamic->factor);
  }
  if (const auto* yarn = std::get_if<YarnRopeScaling>(&rope.scaling)) {
    return extended(yarn->original_max_position_embeddings, yarn->factor);
  }
  return max_position_embeddings;
}

}  // namespace prepack

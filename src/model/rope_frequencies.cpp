#include "model/rope_frequencies.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace prepack {
namespace {

/// Of the default type. Ref: Su et al. (arXiv:2104.09864)
std::vector<float> plain_frequencies(double theta, int64_t rotary_dim) {
  std::vector<float> frequencies;
  for (int64_t i = 0; i < rotary_dim; i += 2) {
    const auto exponent = static_cast<float>(i) / static_cast<float>(rotary_dim);
    frequencies.push_back(1.0F / std::pow(static_cast<float>(theta), exponent));
  }
  return frequencies;
}

/// Low frequencies, whose wavelength exceeds the original context, are divided by the factor;
/// high ones are kept; between them the two are mixed linearly in the number of turns they make.
/// Ref: transformers modeling_rope_utils, _compute_llama3_parameters.
float scale_llama3(float frequency, const Llama3RopeScaling& scaling) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  const auto context = static_cast<double>(scaling.original_max_position_embeddings);
  const double turns = context / wavelength;
  if (turns < scaling.low_freq_factor) return static_cast<float>(frequency / scaling.factor);
  if (turns > scaling.high_freq_factor) return frequency;
  const double keep =
      (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
  return static_cast<float>((1 - keep) * frequency / scaling.factor + keep * frequency);
}

/// The base at which the slowest pair turns as far in the whole sequence as it did in the original
/// context. Ref: transformers modeling_rope_utils, _compute_dynamic_ntk_parameters.
double stretched_theta(double theta, const DynamicRopeScaling& scaling, int64_t rotary_dim,
                       int64_t sequence_len) {
  const auto dim = static_cast<double>(rotary_dim);
  const double contexts = static_cast<double>(sequence_len) /
                          static_cast<double>(scaling.original_max_position_embeddings);
  return theta * std::pow(scaling.factor * contexts - (scaling.factor - 1), dim / (dim - 2));
}

/// Pairs of dimensions between which yarn goes over from high to low frequencies.
struct YarnRange {
  double begin;  // up to here frequencies are kept
  double end;    // from here on they are divided by the factor
};

/// Ref: transformers modeling_rope_utils, find_correction_range.
YarnRange yarn_range(double theta, const YarnRopeScaling& scaling, int64_t rotary_dim) {
  const auto context = static_cast<double>(scaling.original_max_position_embeddings);
  const auto dim = static_cast<double>(rotary_dim);
  // The pair, as a fraction, that makes so many turns in the original context.
  const auto pair_of = [&](double turns) {
    return dim * std::log(context / (turns * 2 * std::numbers::pi)) / (2 * std::log(theta));
  };
  YarnRange range = {pair_of(scaling.beta_fast), pair_of(scaling.beta_slow)};
  if (scaling.truncate) range = {std::floor(range.begin), std::ceil(range.end)};
  range = {std::max(range.begin, 0.0), std::min(range.end, dim - 1)};
  if (range.begin == range.end) range.end += 0.001;  // a ramp needs some width
  return range;
}

/// Turns the frequencies of the default type into those of another.
struct Scale {
  double theta;
  int64_t rotary_dim;
  int64_t sequence_len;
  std::vector<float>& frequencies;

  void operator()(std::monostate /*no scaling*/) const {}

  void operator()(const LinearRopeScaling& scaling) const {
    for (float& frequency : frequencies) frequency /= static_cast<float>(scaling.factor);
  }

  void operator()(const Llama3RopeScaling& scaling) const {
    for (float& frequency : frequencies) frequency = scale_llama3(frequency, scaling);
  }

  void operator()(const DynamicRopeScaling& scaling) const {
    if (sequence_len <= scaling.original_max_position_embeddings) return;
    frequencies =
        plain_frequencies(stretched_theta(theta, scaling, rotary_dim, sequence_len), rotary_dim);
  }

  void operator()(const YarnRopeScaling& scaling) const {
    const auto range = yarn_range(theta, scaling, rotary_dim);
    for (size_t i = 0; i < frequencies.size(); ++i) {
      const double divided =
          std::clamp((static_cast<double>(i) - range.begin) / (range.end - range.begin), 0.0, 1.0);
      frequencies[i] =
          static_cast<float>(frequencies[i] * (divided / scaling.factor + (1 - divided)));
    }
  }

  void operator()(const LongRopeScaling& scaling) const {
    const bool is_long = sequence_len > scaling.original_max_position_embeddings;
    const auto& factors = is_long ? scaling.long_factor : scaling.short_factor;
    for (size_t i = 0; i < frequencies.size(); ++i) {
      frequencies[i] /= static_cast<float>(factors.at(i));
    }
  }

  void operator()(const FrequencyFactors& scaling) const {
    for (size_t i = 0; i < frequencies.size(); ++i) {
      frequencies[i] /= static_cast<float>(scaling.factors.at(i));
    }
  }
};

}  // namespace

std::vector<float> rope_frequencies(const RopeConfig& config, int64_t rotary_dim,
                                    int64_t sequence_len) {
  auto frequencies = plain_frequencies(config.theta, rotary_dim);
  std::visit(Scale{config.theta, rotary_dim, sequence_len, frequencies}, config.scaling);
  return frequencies;
}

double rope_attention_factor(const RopeConfig& config) {
  if (const auto* yarn = std::get_if<YarnRopeScaling>(&config.scaling)) {
    return yarn->attention_factor;
  }
  if (const auto* longrope = std::get_if<LongRopeScaling>(&config.scaling)) {
    return longrope->attention_factor;
  }
  return 1;
}

int64_t rope_length_class(const RopeConfig& config, int64_t sequence_len) {
  if (const auto* dynamic = std::get_if<DynamicRopeScaling>(&config.scaling)) {
    return sequence_len > dynamic->original_max_position_embeddings ? sequence_len : 1;
  }
  if (const auto* longrope = std::get_if<LongRopeScaling>(&config.scaling)) {
    const int64_t context = longrope->original_max_position_embeddings;
    return sequence_len > context ? context + 1 : 1;
  }
  return 1;
}

}  // namespace prepack

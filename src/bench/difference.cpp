#include "bench/difference.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace prepack::bench {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The one value of a tensor: a maximum or sum, which is not a number where any of its parts is
/// not.
double distance(const at::Tensor& tensor) {
  const auto value = tensor.item<double>();
  return std::isnan(value) ? kInfinity : value;
}

/// @param actual, expected  [vocab_size]
void compare_logits(const at::Tensor& actual, const at::Tensor& expected,
                    PromptDifference& difference) {
  const auto got = actual.to(at::kCPU, at::kDouble);
  const auto wanted = expected.to(at::kCPU, at::kDouble);
  const auto distances = got.sub(wanted).abs();
  difference.max_logit = distance(distances.max());
  difference.mean_logit = distance(distances.mean());

  const auto log_wanted = wanted.log_softmax(0);
  difference.divergence = distance(log_wanted.exp().mul(log_wanted.sub(got.log_softmax(0))).sum());

  const auto top = wanted.argmax().item<int64_t>();
  const auto other = got.argmax().item<int64_t>();
  difference.same_top = top == other;
  difference.lead = distance(wanted[top].sub(wanted[other]));
}

/// @param actual, expected  one row of keys or values: [length, num_kv_heads, head_dim]
void compare_side(const at::Tensor& actual, const at::Tensor& expected,
                  PromptDifference& difference) {
  const auto wanted = expected.to(at::kFloat);
  const double largest = distance(actual.to(at::kFloat).sub(wanted).abs().max());
  const double scale = std::max(1.0, distance(wanted.abs().max()));
  difference.cache = std::max(difference.cache, largest);
  // Infinite by infinite: there was something that is not a number.
  const double relative = std::isinf(largest) ? kInfinity : largest / scale;
  difference.relative_cache = std::max(difference.relative_cache, relative);
}

}  // namespace

PromptDifference compare_row(const DecodeState& actual, const DecodeState& expected, int64_t row) {
  PromptDifference difference;
  compare_logits(actual.logits[row], expected.logits[row], difference);
  const int64_t length = expected.lengths.at(row);
  if (actual.lengths.at(row) != length) {
    difference.cache = difference.relative_cache = kInfinity;
    return difference;
  }
  const auto side_row = [&](const at::Tensor& side) { return side.select(0, row); };
  for (int64_t layer = 0; layer < expected.cache.num_layers(); ++layer) {
    compare_side(side_row(actual.cache.keys(layer, actual.cache.num_rows(), length)),
                 side_row(expected.cache.keys(layer, expected.cache.num_rows(), length)),
                 difference);
    compare_side(side_row(actual.cache.values(layer, actual.cache.num_rows(), length)),
                 side_row(expected.cache.values(layer, expected.cache.num_rows(), length)),
                 difference);
  }
  return difference;
}

std::optional<Parting> find_parting(const TokenIds& actual, const TokenIds& expected) {
  const auto [ours, theirs] = std::ranges::mismatch(actual, expected);
  if (ours == actual.end() && theirs == expected.end()) return std::nullopt;
  return Parting{.token = ours - actual.begin(), .gap = {}};
}

}  // namespace prepack::bench

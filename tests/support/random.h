#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <random>
#include <utility>
#include <vector>

#include "prepack/token.h"

namespace prepack::testing {

/// Random values for the tests, the same with every standard library: the distributions of
/// <random> are not.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  /// Uniform in [low, high].
  int64_t integer(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(engine_() % static_cast<uint64_t>(high - low + 1));
  }

  /// Uniform in [0, 1).
  double uniform() { return static_cast<double>(engine_() >> 11) * 0x1.0p-53; }

  /// Mean 0, variance 1.
  double normal() {
    const double radius = std::sqrt(-2 * std::log(1 - uniform()));
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }

  std::vector<int64_t> integers(int64_t count, int64_t low, int64_t high) {
    std::vector<int64_t> values(count);
    for (auto& value : values) value = integer(low, high);
    return values;
  }

  TokenIds tokens(int64_t count, int64_t vocab_size) {
    TokenIds ids(count);
    for (auto& id : ids) id = static_cast<TokenId>(integer(0, vocab_size - 1));
    return ids;
  }

  std::vector<TokenIds> prompts(const std::vector<int64_t>& lengths, int64_t vocab_size) {
    std::vector<TokenIds> prompts;
    for (int64_t length : lengths) prompts.push_back(tokens(length, vocab_size));
    return prompts;
  }

  template <typename T>
  void shuffle(std::vector<T>& values) {
    for (size_t i = values.size(); i > 1; --i) {
      std::swap(values[i - 1], values[integer(0, static_cast<int64_t>(i) - 1)]);
    }
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace prepack::testing

#include "kernels/quantize.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/weight_rows.h"
#include "support/each_instruction_set.h"
#include "support/numbers.h"
#include "support/stored_weight.h"

namespace prepack {
namespace {

using testing::int4_value;
using testing::num_samples;
using testing::Numbers;
using testing::on_each_instruction_set;
using testing::Random;

struct Int8Row {
  std::vector<int8_t> values;
  float scale = 99;
  bool is_finite = false;

  explicit Int8Row(const Numbers& weights) : values(static_cast<size_t>(weights.size()), 99) {
    is_finite = quantize_int8(weights.floats(), weights.size(), values.data(), &scale);
  }
};

struct Int4Row {
  std::vector<uint8_t> bytes;
  Numbers scales;
  Numbers minimums;
  int64_t in_features;
  int64_t group_size;
  bool is_finite = false;

  Int4Row(const Numbers& weights, int64_t group_size)
      : bytes(static_cast<size_t>(int4_row_bytes(weights.size())), 0x99),
        scales(DType::kFloat16, weights.size() / group_size),
        minimums(DType::kFloat16, weights.size() / group_size),
        in_features(weights.size()),
        group_size(group_size) {
    is_finite = quantize_int4(weights.floats(), weights.size(), group_size, bytes.data(),
                              scales.data(), minimums.data());
  }

  /// As products read it.
  double value(int64_t k) const {
    return scales[k / group_size] * int4_value(bytes.data(), in_features, 0, k) +
           minimums[k / group_size];
  }
};

TEST_CASE("8 bits are at most half a scale away, and the largest weight is exact",
          "[kernels][quantization]") {
  Random random(1);
  on_each_instruction_set([&] {
    for (int i = num_samples(50); i > 0; --i) {
      const double size = std::pow(10.0, random.integer(-30, 30));
      const auto weights = Numbers::random(random, DType::kFloat32, random.integer(1, 150), size);
      const Int8Row row(weights);
      CAPTURE(size, weights.size());
      REQUIRE(row.is_finite);
      double largest = 0;
      double error = 0;
      for (int64_t k = 0; k < weights.size(); ++k) {
        const double wide = static_cast<double>(row.scale) * row.values[k];
        largest = std::max(largest, std::abs(weights[k]));
        error = std::max(error, std::abs(wide - weights[k]));
      }
      REQUIRE(error <= row.scale * (0.5 + 1e-5));
      REQUIRE(std::abs(row.scale - largest / 127) <= 1e-7 * row.scale);
    }
  });
}

TEST_CASE("4 bits are the nearest multiples of their scale above their minimum",
          "[kernels][quantization]") {
  Random random(2);
  on_each_instruction_set([&] {
    for (int i = num_samples(30); i > 0; --i) {
      const int64_t group_size = int64_t{32} << random.integer(0, 3);
      const int64_t in_features = group_size * random.integer(1, i % 10 == 0 ? 40 : 6);
      const auto weights = Numbers::random(random, DType::kFloat32, in_features);
      const Int4Row row(weights, group_size);
      CAPTURE(group_size, in_features);
      REQUIRE(row.is_finite);
      double excess = 0;
      double error = 0;
      for (int64_t k = 0; k < in_features; ++k) {
        const double scale = row.scales[k / group_size];
        const double minimum = row.minimums[k / group_size];
        const double nearest = std::clamp(std::round((weights[k] - minimum) / scale), 0.0, 15.0);
        // On the border of two values either may be taken.
        const double least = std::abs(nearest * scale + minimum - weights[k]);
        excess = std::max(excess, std::abs(row.value(k) - weights[k]) - least);
        error += (row.value(k) - weights[k]) * (row.value(k) - weights[k]);
      }
      REQUIRE(excess <= 1e-5);
      // The range of 256 normal numbers is 5.6 or so: a fifteenth of it squared, over 12, is
      // 0.0116.
      CHECK(error / static_cast<double>(in_features) < 0.02);
    }
  });
}

TEST_CASE("values of 4 bits lie where they are read", "[kernels][quantization]") {
  Random random(3);
  on_each_instruction_set([&] {
    for (int i = num_samples(50); i > 0; --i) {
      const int64_t in_features = 32 * random.integer(1, 70);
      CAPTURE(in_features);
      std::vector<uint8_t> values(static_cast<size_t>(in_features));
      for (auto& value : values) value = static_cast<uint8_t>(random.integer(0, 15));
      std::vector<uint8_t> bytes(static_cast<size_t>(int4_row_bytes(in_features)), 0x99);
      pack_int4(values.data(), in_features, bytes.data());
      std::vector<uint8_t> read;
      for (int64_t k = 0; k < in_features; ++k) {
        read.push_back(static_cast<uint8_t>(int4_value(bytes.data(), in_features, 0, k)));
      }
      REQUIRE(read == values);
    }
  });
}

TEST_CASE("weights too small for a scale become zeros, and those of one value stay",
          "[kernels][quantization]") {
  on_each_instruction_set([] {
    for (const double size : {0.0, 1e-44}) {
      const auto weights = Numbers::filled(DType::kFloat32, 128, size);
      const Int8Row int8(weights);
      CHECK(int8.is_finite);
      const Int4Row int4(weights, 64);
      CHECK(int4.is_finite);
      for (int64_t k = 0; k < weights.size(); ++k) {
        REQUIRE(int8.scale * static_cast<float>(int8.values[k]) == 0);
        REQUIRE(int4.value(k) == 0);
      }
    }
    const Int4Row equal(Numbers::filled(DType::kFloat32, 96, -0.75), 32);
    for (int64_t k = 0; k < 96; ++k) REQUIRE(equal.value(k) == -0.75);
  });
}

TEST_CASE("weights that have no scale are reported", "[kernels][quantization]") {
  on_each_instruction_set([] {
    for (const double number : {double{NAN}, double{INFINITY}, -double{INFINITY}, 1e7}) {
      for (const int64_t place : {0, 5, 95}) {
        CAPTURE(number, place);
        auto weights = Numbers::filled(DType::kFloat32, 96, 0.5);
        weights.set(place, number);
        CHECK(Int8Row(weights).is_finite == (number == 1e7));
        CHECK_FALSE(Int4Row(weights, 32).is_finite);
      }
    }
  });
}

}  // namespace
}  // namespace prepack

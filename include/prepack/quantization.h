#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace prepack {

/// How the weights of a decoder's products are rounded as they are loaded. The projection to the
/// vocabulary always gets 8 bits, unless it shares the embeddings' weight: those, norms and biases
/// stay as they are stored, and so do caches. Products are of the rounded weights and float32, or
/// what Activations make of it.
///
/// - 8 bits: one float32 scale for each output feature (row of a weight).
/// - 4 bits: one float16 scale and minimum for each `group_size` weights of a row. Rows that are
///   not whole groups get 8 bits.
struct Quantization {
  int bits = 8;             // 8 or 4
  int64_t group_size = 32;  // of 4 bits: 32, 64 or 128 input features

  /// @throws InvalidArgument for other numbers
  void validate() const;

  /// What a weight with rows of this many input features gets.
  Quantization for_rows_of(int64_t in_features) const;

  /// Bytes of one weight, with its scales.
  int64_t bytes(int64_t out_features, int64_t in_features) const;
};

/// "int8", or "int4 in groups of 32".
std::string to_string(const Quantization& quantization);

/// What products with quantized weights multiply them with. Rounded to integers products are
/// faster, and off by some 3e-5 of their size with 16 bits, by some 5e-3 with 8. On a GPU there is
/// kInt8 alone, with one scale for each token, for products of more than 16 tokens with weights of
/// 8 bits that have one scale a row; others are computed.
enum class Activations {
  kAsComputed,  // float32
  kInt16,       // 16 bits, with a float32 scale for each 64 features of a token
  kInt8,        // 8 bits, for each 32, on CPUs with AMX for each 128 with weights of 8 bits that
                // have one scale a row; but kInt16 for weights that share a scale by 16
};

/// "as computed", "int16" or "int8".
std::string_view to_string(Activations activations);

/// @param name  "int16" or "int8"
/// @throws InvalidArgument for any other
Activations parse_activations(std::string_view name);

/// What is rounded in a decoder's products.
struct Rounding {
  std::optional<Quantization> quantization = {};  // of the weights, as they are loaded
  Activations activations = Activations::kAsComputed;
};

/// How reports go on behind a dtype: ", weights int8, activations int16"; empty if nothing is
/// rounded.
std::string rounding_note(const std::optional<Quantization>& quantization, Activations activations);

/// @param name        "int8" or "int4"
/// @param group_size  of int4
/// @throws InvalidArgument for any other
Quantization parse_quantization(std::string_view name, int64_t group_size);

}  // namespace prepack

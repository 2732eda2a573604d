#include "prepack/quantization.h"

#include <fmt/format.h>

#include "prepack/error.h"
#include "weights/packed_format.h"

namespace prepack {

void Quantization::validate() const {
  if (bits != 8 && bits != 4) {
    throw InvalidArgument(fmt::format("quantization: expected 8 or 4 bits, got {}", bits));
  }
  if (bits == 4 && group_size != 32 && group_size != 64 && group_size != 128) {
    throw InvalidArgument(
        fmt::format("quantization: expected groups of 32, 64 or 128, got {}", group_size));
  }
}

Quantization Quantization::for_rows_of(int64_t in_features) const {
  return bits == 4 && in_features % group_size == 0 ? *this : Quantization{.bits = 8};
}

int64_t Quantization::bytes(int64_t out_features, int64_t in_features) const {
  return PackedFormat::of(*this, in_features).bytes(out_features, in_features);
}

std::string to_string(const Quantization& quantization) {
  return quantization.bits == 8 ? "int8"
                                : fmt::format("int4 in groups of {}", quantization.group_size);
}

std::string_view to_string(Activations activations) {
  switch (activations) {
    case Activations::kAsComputed:
      return "as computed";
    case Activations::kInt16:
      return "int16";
    case Activations::kInt8:
      return "int8";
  }
  return {};
}

Activations parse_activations(std::string_view name) {
  for (const auto activations : {Activations::kInt16, Activations::kInt8}) {
    if (name == to_string(activations)) return activations;
  }
  throw InvalidArgument(fmt::format("activations: expected int16 or int8, got {}", name));
}

std::string rounding_note(const std::optional<Quantization>& quantization,
                          Activations activations) {
  std::string note;
  if (quantization) note += ", weights " + to_string(*quantization);
  if (activations != Activations::kAsComputed) {
    note += fmt::format(", activations {}", to_string(activations));
  }
  return note;
}

Quantization parse_quantization(std::string_view name, int64_t group_size) {
  Quantization quantization;
  if (name == "int4") {
    quantization = {.bits = 4, .group_size = group_size};
  } else if (name != "int8") {
    throw InvalidArgument(fmt::format("quantization: expected int8 or int4, got {}", name));
  }
  quantization.validate();
  return quantization;
}

}  // namespace prepack

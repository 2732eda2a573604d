#include "prepack/dtype.h"

#include <fmt/format.h>

#include "prepack/error.h"

namespace prepack {

std::string_view to_string(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "float32";
    case DType::kBFloat16:
      return "bfloat16";
    case DType::kFloat16:
      return "float16";
  }
  return "unknown";
}

DType parse_dtype(std::string_view name) {
  constexpr std::string_view kPrefix = "torch.";
  const auto bare = name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
  for (const auto dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    if (bare == to_string(dtype)) return dtype;
  }
  throw InvalidArgument(
      fmt::format("dtype: expected float32, bfloat16 or float16, got \"{}\"", name));
}

int64_t element_size(DType dtype) { return dtype == DType::kFloat32 ? 4 : 2; }

}  // namespace prepack

#include "prepack/weight_layout.h"

#include <fmt/format.h>

#include "prepack/error.h"

namespace prepack {

std::string_view to_string(WeightLayout layout) {
  switch (layout) {
    case WeightLayout::kAuto:
      return "auto";
    case WeightLayout::kPlain:
      return "plain";
    case WeightLayout::kBlocked:
      return "blocked";
  }
  return "";
}

WeightLayout parse_weight_layout(std::string_view name) {
  for (auto layout : {WeightLayout::kAuto, WeightLayout::kPlain, WeightLayout::kBlocked}) {
    if (name == to_string(layout)) return layout;
  }
  throw InvalidArgument(
      fmt::format("weight layout: expected auto, plain or blocked, got {}", name));
}

}  // namespace prepack

#pragma once

#include <algorithm>
#include <cstdint>

namespace prepack {

/// A panel of a product's weights, which are laid out and multiplied together.
struct WeightPanel {
  int64_t row;      // the first
  int64_t feature;  // of the output
  int64_t count;    // rows that there are, at most as many as a panel holds
};

/// The panels for some output features: one after the other; or of SwiGLU each panel of gates
/// before that of their ups, so that both have been multiplied when the second has.
struct WeightPanels {
  int64_t first;  // output feature
  int64_t count;
  int64_t width;
  int64_t num_gates;  // 0: no SwiGLU

  bool are_gated() const { return num_gates > 0; }
  int64_t num_panels() const { return (count + width - 1) / width * (are_gated() ? 2 : 1); }
  bool is_gate(int64_t panel) const { return are_gated() && panel % 2 == 0; }
  WeightPanel operator[](int64_t panel) const {
    const int64_t place = (are_gated() ? panel / 2 : panel) * width;
    const int64_t feature = first + place;
    return {are_gated() && !is_gate(panel) ? num_gates + feature : feature, feature,
            std::min(width, count - place)};
  }
};

}  // namespace prepack

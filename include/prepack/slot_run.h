#pragma once

#include <cstdint>

namespace prepack {

/// Slots of a cache that lie one behind the other, counted over all of its rows.
struct SlotRun {
  int64_t first_slot = 0;
  int64_t num_slots = 0;

  bool operator==(const SlotRun&) const = default;
};

}  // namespace prepack

#pragma once

#include <optional>

namespace prepack::bench {

/// Seconds since the system started this process, to a hundredth; nothing where /proc does not say.
std::optional<double> process_age_s();

}  // namespace prepack::bench

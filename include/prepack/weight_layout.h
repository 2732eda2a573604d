#pragma once

#include <string_view>

namespace prepack {

/// How the weights of the layers' products lie in memory, once.
/// - kPlain:   rows, as they are stored.
/// - kBlocked: as oneDNN lays them out for the CPU, which on some is in blocks that its products
///             read as they lie, instead of packing them anew for each product; on others it is
///             rows. For weights of the dtype that is computed in alone, on x86 CPUs that have
///             products in that dtype.
/// - kAuto:    blocked where that was found faster as the model was loaded, shape by shape, and
///             bfloat16 is not multiplied by this library's own products; else plain. The last bits
///             of results may depend on it: ask for one of the others where two runs are to be the
///             same bit for bit.
/// Embeddings and the projection to the vocabulary are always plain.
enum class WeightLayout { kAuto, kPlain, kBlocked };

/// "auto", "plain" or "blocked".
std::string_view to_string(WeightLayout layout);

/// @throws InvalidArgument for any other name
WeightLayout parse_weight_layout(std::string_view name);

}  // namespace prepack

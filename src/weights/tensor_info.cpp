#include "weights/tensor_info.h"

#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join

#include <array>

namespace prepack {
namespace {

struct Traits {
  std::string_view name;
  Block block;
};

constexpr std::array<Traits, 30> kTraits = {{
    // In the order of StoredDType.
    {"BOOL", {1, 1}},
    {"F4", {2, 1}},
    {"F6_E2M3", {4, 3}},
    {"F6_E3M2", {4, 3}},
    {"U8", {1, 1}},
    {"I8", {1, 1}},
    {"F8_E5M2", {1, 1}},
    {"F8_E4M3", {1, 1}},
    {"F8_E8M0", {1, 1}},
    {"F8_E4M3FNUZ", {1, 1}},
    {"F8_E5M2FNUZ", {1, 1}},
    {"I16", {1, 2}},
    {"U16", {1, 2}},
    {"F16", {1, 2}},
    {"BF16", {1, 2}},
    {"I32", {1, 4}},
    {"U32", {1, 4}},
    {"F32", {1, 4}},
    {"C64", {1, 8}},
    {"F64", {1, 8}},
    {"I64", {1, 8}},
    {"U64", {1, 8}},
    {"Q4_0", {32, 2 + 16}},
    {"Q4_1", {32, 2 + 2 + 16}},
    {"Q5_0", {32, 2 + 4 + 16}},
    {"Q5_1", {32, 2 + 2 + 4 + 16}},
    {"Q8_0", {32, 2 + 32}},
    {"Q4_K", {256, 2 + 2 + 12 + 128}},
    {"Q5_K", {256, 2 + 2 + 12 + 32 + 128}},
    {"Q6_K", {256, 128 + 64 + 16 + 2}},
}};
static_assert(kTraits.size() == static_cast<size_t>(StoredDType::kQ6_K) + 1);

const Traits& traits(StoredDType dtype) { return kTraits[static_cast<size_t>(dtype)]; }

}  // namespace

std::string_view to_string(StoredDType dtype) { return traits(dtype).name; }

Block block_of(StoredDType dtype) { return traits(dtype).block; }

bool is_quantized(StoredDType dtype) { return dtype >= StoredDType::kQ4_0; }

std::string shape_to_string(std::span<const int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape.begin(), shape.end(), ", "));
}

}  // namespace prepack

#include "model/families/family.h"

#include <algorithm>

#include "prepack/error.h"

namespace prepack {

std::span<const Family* const> families() {
  static constexpr std::array kFamilies = {&kLlama, &kMistral, &kQwen2, &kQwen3, &kPhi3, &kSmolLM3};
  return kFamilies;
}

const Family& family_of(std::string_view architecture) {
  const auto all = families();
  const auto found = std::ranges::find(all, architecture,
                                       [](const Family* family) { return family->architecture; });
  if (found == all.end()) {
    throw InvalidArgument("architecture: not one of a model family");
  }
  return **found;
}

}  // namespace prepack

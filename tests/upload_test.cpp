#include "base/upload.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include "support/all_close.h"
#include "support/catch.h"

namespace prepack {
namespace {

using testing::BitEqual;

TEST_CASE("joined tensors are split into what they were", "[upload]") {
  const std::vector<at::Tensor> tensors = {
      at::arange(5, at::kInt),   at::tensor({7, -1}, at::kLong),
      at::empty({0}, at::kInt),  at::arange(6, at::kInt).view({2, 3}),
      at::empty({0}, at::kLong), at::tensor({9}, at::kInt)};
  const auto joined = join(tensors, /*is_pinned=*/false);
  CHECK(joined.numel() == 3 + 2 + 0 + 3 + 0 + 1);
  const auto parts = split(joined, tensors);
  REQUIRE(parts.size() == tensors.size());
  for (size_t i = 0; i < parts.size(); ++i) {
    CAPTURE(i);
    CHECK_THAT(parts[i], BitEqual(tensors[i]));
    CHECK((parts[i].numel() == 0 || parts[i].storage().is_alias_of(joined.storage())));
  }
}

TEST_CASE("an upload to the CPU returns the tensors themselves", "[upload]") {
  const auto tensor = at::arange(5, at::kInt);
  CHECK(upload(tensor, at::kCPU).is_same(tensor));
}

}  // namespace
}  // namespace prepack

#include "model/blocked_products.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "base/stopwatch.h"
#include "model/bfloat16_product.h"
#include "model/linear.h"
#include "model/native_products.h"

namespace prepack {
namespace {

/// One for each regime, few first: a decode step of one sequence and of several, what is left over
/// of a forward, and a small one. Larger ones gain more from blocks, and would take longer to
/// measure.
constexpr int64_t kNumRows[] = {1, 16, 128, 512};
constexpr int64_t kManyRows = 512;

constexpr double kClearlyFaster = 0.95;
constexpr double kNoSlower = 1.03;  // but for noise

/// Whether oneDNN has another layout than rows at all for weights of this dtype, on this CPU.
bool has_blocks(at::ScalarType type) {
  constexpr int64_t kSize = 256;  // whole blocks
  const auto weight = at::arange(kSize * kSize, at::kFloat).view({kSize, kSize}).to(type);
  return blocks_of(weight).has_value();
}

/// The fewest seconds of each, in turns.
LayoutTimes measure(const Linear& plain, const Linear& blocked, const at::Tensor& input) {
  constexpr int kMinTurns = 2;
  constexpr double kSeconds = 0.003;  // products of few rows take less, and are noisy one by one
  constexpr double kNone = std::numeric_limits<double>::infinity();
  LayoutTimes times{input.size(0), kNone, kNone};
  const auto seconds_of = [&](const Linear& linear) {
    const Stopwatch stopwatch;
    linear(input);
    return stopwatch.seconds();
  };
  seconds_of(plain);  // oneDNN makes the code of a product at its first use
  seconds_of(blocked);
  const Stopwatch all;
  for (int i = 0; i < kMinTurns || all.seconds() < kSeconds; ++i) {
    times.plain_s = std::min(times.plain_s, seconds_of(plain));
    times.blocked_s = std::min(times.blocked_s, seconds_of(blocked));
  }
  return times;
}

/// Whether products of many rows are this project's own, which come close to those with blocks, and
/// pass them with SwiGLU; those of few rows are ahead, and rows need not be laid out at the start.
bool has_own_products(const at::Tensor& weight) {
  return weight.scalar_type() == at::kBFloat16 && is_bfloat16_product_best(weight, kManyRows);
}

}  // namespace

bool has_blocked_products(at::ScalarType type) {
  return has_avx2() && has_native_products(type) && BlockedWeight::is_supported(type);
}

std::optional<BlockedWeight> blocks_of(const at::Tensor& weight) {
  if (!has_blocked_products(weight.scalar_type())) return std::nullopt;
  BlockedWeight blocked(weight);
  if (blocked.is_plain(weight)) return std::nullopt;
  return blocked;
}

bool is_blocked_faster(std::span<const LayoutTimes> times) {
  return std::ranges::all_of(times, [](const LayoutTimes& time) {
    const double most = time.num_rows < kManyRows ? kNoSlower : kClearlyFaster;
    return time.blocked_s <= most * time.plain_s;
  });
}

std::vector<LayoutTimes> measure_layouts(const at::Tensor& weight, const BlockedWeight& blocks) {
  const at::NoGradGuard no_grad;
  const Linear plain{weight, {}};
  const Linear blocked{blocks, {}};
  const auto inputs = at::full({kManyRows, weight.size(1)}, 0.5, weight.options());
  std::vector<LayoutTimes> times;
  for (const int64_t num_rows : kNumRows) {
    times.push_back(measure(plain, blocked, inputs.narrow(0, 0, num_rows)));
    if (!is_blocked_faster(times)) break;  // the rest need not be known
  }
  return times;
}

bool LayoutChoice::wants_blocked(const at::Tensor& weight) {
  if (layout_ == WeightLayout::kAuto && measured_.empty() &&
      (has_own_products(weight) || !has_blocks(weight.scalar_type()))) {
    layout_ = WeightLayout::kPlain;  // of all that follow too
  }
  if (layout_ != WeightLayout::kAuto) return layout_ == WeightLayout::kBlocked;
  const auto [known, is_new] = measured_.try_emplace({weight.size(0), weight.size(1)}, false);
  if (is_new) {
    const auto blocks = blocks_of(weight);
    known->second = blocks && is_blocked_faster(measure_layouts(weight, *blocks));
  }
  return known->second;
}

}  // namespace prepack

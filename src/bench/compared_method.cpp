#include "bench/compared_method.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "bench/random_prompts.h"
#include "prepack/error.h"
#include "prepack/sampler.h"

namespace prepack::bench {
namespace {

constexpr ComparedMethod kAll[] = {ComparedMethod::kPacked, ComparedMethod::kPackedRows,
                                   ComparedMethod::kPadded, ComparedMethod::kLengthOrdered,
                                   ComparedMethod::kDatasetPacked};

std::vector<int64_t> length_order(std::span<const int64_t> lengths) {
  std::vector<int64_t> order(lengths.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](int64_t prompt) { return lengths[prompt]; });
  return order;
}

Batches cut(const std::vector<int64_t>& order, int64_t batch_size) {
  Batches batches;
  for (size_t i = 0; i < order.size(); ++i) {
    if (i % static_cast<size_t>(batch_size) == 0) batches.emplace_back();
    batches.back().push_back(order[i]);
  }
  return batches;
}

/// The rows of one packing of everything, in random order, some to a batch.
Batches batches_of_rows(std::span<const int64_t> lengths, int64_t rows_per_batch,
                        const PackingOptions& packing, int64_t capacity, uint64_t seed) {
  if (lengths.empty()) return {};
  const auto plan =
      pack(lengths, capacity > 0 ? capacity : *std::ranges::max_element(lengths), packing);
  Batches batches;
  for (const auto& rows :
       cut(random_order(static_cast<int64_t>(plan.bins.size()), seed), rows_per_batch)) {
    auto& batch = batches.emplace_back();
    for (int64_t row : rows) {
      batch.insert(batch.end(), plan.bins[row].begin(), plan.bins[row].end());
    }
  }
  return batches;
}

}  // namespace

std::string_view to_string(ComparedMethod method) {
  switch (method) {
    case ComparedMethod::kPacked:
      return "packed";
    case ComparedMethod::kPackedRows:
      return "packed-rows";
    case ComparedMethod::kPadded:
      return "padded";
    case ComparedMethod::kLengthOrdered:
      return "length-ordered";
    case ComparedMethod::kDatasetPacked:
      return "dataset-packed";
  }
  throw InvalidArgument("method: not one of the enumerators");
}

ComparedMethod parse_compared_method(std::string_view name) {
  for (auto method : kAll) {
    if (name == to_string(method)) return method;
  }
  throw InvalidArgument(fmt::format(
      "expected packed, packed-rows, padded, length-ordered or dataset-packed, got {}", name));
}

PrefillMethod prefill_method(ComparedMethod method) {
  switch (method) {
    case ComparedMethod::kPacked:
    case ComparedMethod::kDatasetPacked:
      return PrefillMethod::kPacked;
    case ComparedMethod::kPackedRows:
      return PrefillMethod::kPackedRows;
    case ComparedMethod::kPadded:
    case ComparedMethod::kLengthOrdered:
      break;
  }
  return PrefillMethod::kPadded;
}

Batches make_batches(ComparedMethod method, std::span<const int64_t> lengths, int64_t batch_size,
                     const PackingOptions& packing, int64_t capacity, uint64_t seed) {
  if (batch_size < 1) {
    throw InvalidArgument(fmt::format("batch size: expected at least 1, got {}", batch_size));
  }
  if (method == ComparedMethod::kDatasetPacked) {
    return batches_of_rows(lengths, batch_size, packing, capacity, seed);
  }
  return cut(method == ComparedMethod::kLengthOrdered
                 ? length_order(lengths)
                 : random_order(static_cast<int64_t>(lengths.size()), seed),
             batch_size);
}

std::vector<int64_t> spread_evenly(int64_t total, int64_t count) {
  if (count <= 0 || count > total) count = total;
  std::vector<int64_t> chosen;
  // From the middle of each of `count` equal parts.
  for (int64_t i = 0; i < count; ++i) chosen.push_back((2 * i + 1) * total / (2 * count));
  return chosen;
}

std::vector<int64_t> random_order(int64_t count, uint64_t seed) {
  std::vector<int64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  RandomStream random(seed, /*stream=*/0);
  for (int64_t i = count - 1; i > 0; --i) {
    std::swap(order[i], order[draw_below(random, i + 1)]);
  }
  return order;
}

}  // namespace prepack::bench

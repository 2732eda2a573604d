#include "text/merge_table.h"

#include <algorithm>
#include <bit>
#include <functional>

namespace prepack::text {
namespace {

constexpr size_t kMaxScanned = 48;

void merge_by_scanning(const MergeTable& merges, std::vector<TokenId>& symbols,
                       MergeBuffers& buffers) {
  std::vector<Merge>& pairs = buffers.pairs;  // pairs[i] joins symbols i and i + 1
  size_t size = symbols.size();
  pairs.resize(size);
  for (size_t i = 0; i + 1 < size; ++i) pairs[i] = merges.find(symbols[i], symbols[i + 1]);

  while (size > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < size; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].rank == Merge::kNone) break;
    symbols[best] = pairs[best].id;
    std::copy(symbols.begin() + best + 2, symbols.begin() + size, symbols.begin() + best + 1);
    std::copy(pairs.begin() + best + 2, pairs.begin() + size, pairs.begin() + best + 1);
    --size;
    if (best > 0) pairs[best - 1] = merges.find(symbols[best - 1], symbols[best]);
    if (best + 1 < size) pairs[best] = merges.find(symbols[best], symbols[best + 1]);
  }
  symbols.resize(size);
}

void merge_by_heap(const MergeTable& merges, std::vector<TokenId>& symbols, MergeBuffers& buffers) {
  // A doubly linked list of symbols by position; the heap holds rank << 32 | position. An entry is
  // stale if the pair now at its position has another rank (a symbol merged away has none).
  constexpr uint32_t kEnd = ~0u;
  const auto size = static_cast<uint32_t>(symbols.size());
  std::vector<Merge>& pairs = buffers.pairs;
  std::vector<uint32_t>& previous = buffers.previous;
  std::vector<uint32_t>& next = buffers.next;
  std::vector<uint64_t>& heap = buffers.heap;
  pairs.assign(size, {});
  previous.resize(size);
  next.resize(size);
  heap.clear();
  for (uint32_t i = 0; i < size; ++i) {
    previous[i] = i == 0 ? kEnd : i - 1;
    next[i] = i + 1 == size ? kEnd : i + 1;
  }
  const auto find_pair = [&](uint32_t i) {
    pairs[i] = next[i] == kEnd ? Merge{} : merges.find(symbols[i], symbols[next[i]]);
    if (pairs[i].rank == Merge::kNone) return false;
    heap.push_back(static_cast<uint64_t>(pairs[i].rank) << 32 | i);
    return true;
  };
  for (uint32_t i = 0; i < size; ++i) find_pair(i);
  std::make_heap(heap.begin(), heap.end(), std::greater<>());

  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const uint64_t entry = heap.back();
    heap.pop_back();
    const auto i = static_cast<uint32_t>(entry);
    if (pairs[i].rank != entry >> 32) continue;

    const uint32_t right = next[i];
    symbols[i] = pairs[i].id;
    pairs[right] = {};
    next[i] = next[right];
    if (next[i] != kEnd) previous[next[i]] = i;
    if (find_pair(i)) std::push_heap(heap.begin(), heap.end(), std::greater<>());
    if (previous[i] != kEnd && find_pair(previous[i])) {
      std::push_heap(heap.begin(), heap.end(), std::greater<>());
    }
  }

  size_t out = 0;
  for (uint32_t i = 0; i != kEnd; i = next[i]) symbols[out++] = symbols[i];
  symbols.resize(out);
}

}  // namespace

MergeTable::MergeTable(size_t num_merges)
    : slots_(std::bit_ceil(num_merges * 2 + 2)),
      mask_(slots_.size() - 1),
      shift_(64 - std::countr_zero(slots_.size())) {}

void MergeTable::set(TokenId left, TokenId right, Merge merge) {
  const uint64_t key = pack(left, right);
  size_t i = slot_of(key);
  while (slots_[i].key != kEmpty && slots_[i].key != key) i = (i + 1) & mask_;
  slots_[i] = {key, merge};
}

void merge_symbols(const MergeTable& merges, std::vector<TokenId>& symbols, MergeBuffers& buffers) {
  if (symbols.size() < 2) return;
  if (symbols.size() <= kMaxScanned) {
    merge_by_scanning(merges, symbols, buffers);
  } else {
    merge_by_heap(merges, symbols, buffers);
  }
}

}  // namespace prepack::text

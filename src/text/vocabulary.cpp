#include "text/vocabulary.h"

#include <bit>
#include <cstring>

namespace prepack::text {

uint64_t hash_bytes(std::string_view bytes) {
  // Multiply and fold, eight bytes at a time, after wyhash (Wang Yi).
  constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15ULL;
  const auto mix = [](uint64_t x) {
    const auto product = static_cast<unsigned __int128>(x) * kMultiplier;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  };
  uint64_t hash = mix(bytes.size() + 0x2545F4914F6CDD1DULL);
  const char* data = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; left -= 8, data += 8) {
    uint64_t word;
    std::memcpy(&word, data, 8);
    hash = mix(hash ^ word);
  }
  if (left > 0) {
    uint64_t word = 0;
    std::memcpy(&word, data, left);
    hash = mix(hash ^ word);
  }
  return hash;
}

void Vocabulary::reserve(size_t num_pieces, size_t num_bytes) {
  bytes_.reserve(num_bytes);
  spans_.reserve(num_pieces);
  grow_table(std::bit_ceil(num_pieces + num_pieces / 2 + 16));
}

bool Vocabulary::add(std::string_view piece, TokenId id) {
  if (id < 0 || id > kMaxId || contains(id)) return false;
  if (bytes_.size() + piece.size() >= kHole) return false;
  if ((size_ + 1) * 3 > slots_.size() * 2) grow_table(std::bit_ceil(slots_.size() * 2 + 16));

  const auto hash = static_cast<uint32_t>(hash_bytes(piece) >> 32);
  const size_t mask = slots_.size() - 1;
  size_t i = hash & mask;
  for (; slots_[i].id >= 0; i = (i + 1) & mask) {
    if (slots_[i].hash == hash && this->piece(slots_[i].id) == piece) return false;
  }
  slots_[i] = {hash, id};
  if (static_cast<size_t>(id) >= spans_.size()) spans_.resize(id + 1);
  spans_[id] = {static_cast<uint32_t>(bytes_.size()), static_cast<uint32_t>(piece.size())};
  bytes_.append(piece);
  ++size_;
  return true;
}

std::optional<TokenId> Vocabulary::find(std::string_view piece) const {
  if (slots_.empty()) return std::nullopt;
  const auto hash = static_cast<uint32_t>(hash_bytes(piece) >> 32);
  const size_t mask = slots_.size() - 1;
  for (size_t i = hash & mask; slots_[i].id >= 0; i = (i + 1) & mask) {
    if (slots_[i].hash == hash && this->piece(slots_[i].id) == piece) return slots_[i].id;
  }
  return std::nullopt;
}

void Vocabulary::grow_table(size_t num_slots) {
  if (num_slots <= slots_.size()) return;
  std::vector<Slot> old(num_slots);
  old.swap(slots_);
  const size_t mask = num_slots - 1;
  for (const Slot& slot : old) {
    if (slot.id < 0) continue;
    size_t i = slot.hash & mask;
    while (slots_[i].id >= 0) i = (i + 1) & mask;
    slots_[i] = slot;
  }
}

}  // namespace prepack::text

#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>

namespace prepack::amx {

/// What a CPU answers with an exception.
struct Misuse : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A thread's eight tiles, and what instructions do to them.
/// Ref: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18, and
/// volume 2, under the instructions' names
class Tiles {
 public:
  /// @param configuration  64 bytes
  /// @throws Misuse  as all of these
  void configure(const std::byte* configuration);
  void release() { *this = Tiles(); }
  void clear(int tile);
  void load(int tile, const std::byte* from, int64_t stride);
  void store(int tile, std::byte* to, int64_t stride);
  /// Of bfloat16.
  void add_product(int sums, int a, int b);
  /// Of bytes with signs.
  void add_byte_product(int sums, int a, int b);

 private:
  static constexpr int kNumTiles = 8;
  static constexpr int kMostRows = 16;
  static constexpr int kMostLanes = 16;

  struct Tile {
    int num_rows = 0;
    int row_bytes = 0;
    uint32_t rows[kMostRows][kMostLanes] = {};  // zeros outside num_rows and row_bytes
  };

  Tile& configured(int tile);
  void require_fit(int sums, int a, int b);
  static void add_row(const uint32_t* a, const Tile& b, uint32_t* sums);

  Tile tiles_[kNumTiles];
};

}  // namespace prepack::amx

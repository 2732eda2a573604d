#include "amx_emulation/tiles.h"

#include <xmmintrin.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace prepack::amx {
namespace {

struct Configuration {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t num_rows[16];
};
static_assert(sizeof(Configuration) == 64);

void require(bool is_met, const char* text) {
  if (!is_met) throw Misuse(text);
}

/// While it lives, sums are rounded to the nearest number, ties to even, and subnormal numbers are
/// taken for zeros, whatever this thread asked for.
class ProductRounding {
 public:
  ProductRounding() : before_(_mm_getcsr()) {
    constexpr unsigned kNothingTraps = 0x1F80;
    constexpr unsigned kInputsToZero = 0x0040;
    constexpr unsigned kOutputsToZero = 0x8000;
    _mm_setcsr(kNothingTraps | kInputsToZero | kOutputsToZero);
  }
  ~ProductRounding() { _mm_setcsr(before_); }
  ProductRounding(const ProductRounding&) = delete;
  ProductRounding& operator=(const ProductRounding&) = delete;

 private:
  unsigned before_;
};

float lower_half(uint32_t pair) { return std::bit_cast<float>(pair << 16); }
float upper_half(uint32_t pair) { return std::bit_cast<float>(pair & 0xFFFF0000); }

}  // namespace

void Tiles::configure(const std::byte* configuration) {
  Configuration to;
  std::memcpy(&to, configuration, sizeof(to));
  release();
  if (to.palette == 0) return;
  require(to.palette == 1 && to.start_row == 0, "a configuration of another kind");
  require(std::ranges::all_of(to.reserved, [](uint8_t byte) { return byte == 0; }),
          "a configuration with reserved bytes that are not zero");
  for (int i = 0; i < 16; ++i) {
    const int num_rows = to.num_rows[i];
    const int row_bytes = to.row_bytes[i];
    require(num_rows <= (i < kNumTiles ? kMostRows : 0) && row_bytes <= 4 * kMostLanes &&
                (num_rows == 0) == (row_bytes == 0),
            "a configuration of tiles that there are not");
    if (i >= kNumTiles) continue;
    tiles_[i].num_rows = num_rows;
    tiles_[i].row_bytes = row_bytes;
  }
}

Tiles::Tile& Tiles::configured(int tile) {
  require(tiles_[tile].num_rows > 0, "a tile that is not configured");
  return tiles_[tile];
}

void Tiles::clear(int tile) { std::memset(configured(tile).rows, 0, sizeof(Tile::rows)); }

void Tiles::load(int tile, const std::byte* from, int64_t stride) {
  auto& to = configured(tile);
  for (int row = 0; row < to.num_rows; ++row) {
    std::memcpy(to.rows[row], from + row * stride, to.row_bytes);
  }
}

void Tiles::store(int tile, std::byte* to, int64_t stride) {
  const auto& from = configured(tile);
  for (int row = 0; row < from.num_rows; ++row) {
    std::memcpy(to + row * stride, from.rows[row], from.row_bytes);
  }
}

/// sums[n] += the products of all pairs k, of a[k] with b[k][n]: those of lower and those of upper
/// halves are summed up each by themselves, from the first to the last, without rounding products.
/// Not inlined, so that all of it is computed with the caller's rounding.
[[gnu::noinline]] void Tiles::add_row(const uint32_t* a, const Tile& b, uint32_t* sums) {
  float lower[kMostLanes] = {};
  float upper[kMostLanes] = {};
  const int num_columns = b.row_bytes / 4;
  for (int k = 0; k < b.num_rows; ++k) {
    for (int n = 0; n < num_columns; ++n) {
      lower[n] = std::fma(lower_half(a[k]), lower_half(b.rows[k][n]), lower[n]);
      upper[n] = std::fma(upper_half(a[k]), upper_half(b.rows[k][n]), upper[n]);
    }
  }
  for (int n = 0; n < num_columns; ++n) {
    sums[n] = std::bit_cast<uint32_t>(std::bit_cast<float>(sums[n]) + (lower[n] + upper[n]));
  }
}

void Tiles::require_fit(int sums, int a, int b) {
  require(sums != a && sums != b && a != b, "a product of a tile with itself");
  const auto& to = configured(sums);
  const auto& left = configured(a);
  const auto& right = configured(b);
  require(left.num_rows == to.num_rows && right.row_bytes == to.row_bytes &&
              left.row_bytes == 4 * right.num_rows && to.row_bytes % 4 == 0,
          "tiles that do not fit");
}

void Tiles::add_product(int sums, int a, int b) {
  require_fit(sums, a, b);
  auto& to = tiles_[sums];
  const ProductRounding rounding;
  for (int row = 0; row < to.num_rows; ++row) add_row(tiles_[a].rows[row], tiles_[b], to.rows[row]);
}

void Tiles::add_byte_product(int sums, int a, int b) {
  require_fit(sums, a, b);
  auto& to = tiles_[sums];
  const auto byte = [](uint32_t word, int i) {
    return static_cast<int32_t>(static_cast<int8_t>(word >> (8 * i)));
  };
  for (int row = 0; row < to.num_rows; ++row) {
    for (int k = 0; k < tiles_[b].num_rows; ++k) {
      for (int n = 0; n < to.row_bytes / 4; ++n) {
        for (int i = 0; i < 4; ++i) {
          const int32_t product = byte(tiles_[a].rows[row][k], i) * byte(tiles_[b].rows[k][n], i);
          to.rows[row][n] += static_cast<uint32_t>(product);
        }
      }
    }
  }
}

}  // namespace prepack::amx

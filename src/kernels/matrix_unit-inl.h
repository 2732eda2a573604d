// AMX: tiles of 16 rows of 64 bytes, and products of tiles of bfloat16 or bytes. Included once for
// each instruction set.
// Ref: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18
#if defined(PREPACK_KERNELS_MATRIX_UNIT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_MATRIX_UNIT_INL_H_
#undef PREPACK_KERNELS_MATRIX_UNIT_INL_H_
#else
#define PREPACK_KERNELS_MATRIX_UNIT_INL_H_
#endif

#include "kernels/matrix_unit.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

// CPUs that have one have AVX-512; emulations need not.
#undef PREPACK_HAS_MATRIX_UNIT
#define PREPACK_HAS_MATRIX_UNIT (HWY_ARCH_X86_64 && HWY_TARGET <= HWY_AVX2)

#if PREPACK_HAS_MATRIX_UNIT

/// Rows of a tile, and its 32-bit lanes of a row.
constexpr int64_t kMatrixRows = 16;

/// The calling thread's tiles, all of 16 rows of 64 bytes while it lives.
class MatrixTiles {
 public:
  MatrixTiles() {
    struct Configuration {
      uint8_t palette = 1;
      uint8_t start_row = 0;
      uint8_t reserved[14] = {};
      uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t num_rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    };
    static_assert(sizeof(Configuration) == 64);
    static constexpr Configuration kConfiguration;
    asm volatile("ldtilecfg %0" : : "m"(kConfiguration));
  }
  ~MatrixTiles() { asm volatile("tilerelease"); }
  MatrixTiles(const MatrixTiles&) = delete;
  MatrixTiles& operator=(const MatrixTiles&) = delete;

  // Compilers know nothing of tiles: what they hold is kept apart from other memory by hand.

  template <int kTile>
  static HWY_INLINE void clear() {
    asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
  }
  /// @param from  16 rows of 16 lanes of 32 bits, `stride` lanes apart
  template <int kTile>
  static HWY_INLINE void load(const void* from, int64_t stride) {
    asm volatile("tileloadd (%0,%1,4), %%tmm%c2" : : "r"(from), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kTile>
  static HWY_INLINE void store(void* to, int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,4)" : : "r"(to), "r"(stride), "i"(kTile) : "memory");
  }
  /// sums[m][n] += the products of all pairs k, of a[m][k] with b[k][n].
  template <int kSums, int kA, int kB>
  static HWY_INLINE void add_product() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSums), "i"(kA), "i"(kB));
  }
  /// Likewise of all fours of bytes, with a sign each, in sums of 32 bits.
  template <int kSums, int kA, int kB>
  static HWY_INLINE void add_byte_product() {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSums), "i"(kA), "i"(kB));
  }
};

#endif

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif

#pragma once

#include <sys/ucontext.h>

#include <cstddef>
#include <cstdint>
#include <optional>

namespace prepack::amx {

enum class Operation {
  kConfigure,       // ldtilecfg
  kRelease,         // tilerelease
  kClear,           // tilezero
  kLoad,            // tileloadd
  kStore,           // tilestored
  kAddProduct,      // tdpbf16ps
  kAddByteProduct,  // tdpbssd
};

/// One of those instructions of AMX that MatrixTiles uses, with the address that registers give it.
struct Instruction {
  Operation operation{};
  int length = 0;  // bytes
  int tile = 0;    // that is cleared, loaded, stored or added to
  int a = 0;       // tiles that are multiplied
  int b = 0;
  std::byte* memory = nullptr;
  int64_t stride = 0;  // bytes from row to row in memory

  bool operator==(const Instruction&) const = default;
};

/// @param code       at least the 5 bytes that each of these instructions has
/// @param registers  of a ucontext_t
/// @return nothing if it is another instruction
/// Ref: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, chapters 2 and 5
std::optional<Instruction> decode(const uint8_t* code, const greg_t* registers);

}  // namespace prepack::amx

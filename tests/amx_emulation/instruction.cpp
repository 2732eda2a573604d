#include "amx_emulation/instruction.h"

#include <cstring>

namespace prepack::amx {
namespace {

/// What three bytes of VEX prefix, the opcode and ModRM hold, by the manual's names.
struct Encoding {
  int extend_index;  // X and B: the fourth bits of registers' numbers, ...
  int extend_base;   // ... which the prefix holds inverted, as it does vvvv
  int vvvv;
  int pp;  // a prefix of one byte: 0 none, 1 66, 2 F3, 3 F2
  int opcode;
  int mod;
  int reg;
  int rm;

  explicit Encoding(const uint8_t* code)
      : extend_index((~code[1] >> 6 & 1) << 3),
        extend_base((~code[1] >> 5 & 1) << 3),
        vvvv(~code[2] >> 3 & 15),
        pp(code[2] & 3),
        opcode(code[3]),
        mod(code[4] >> 6),
        reg(code[4] >> 3 & 7),
        rm(code[4] & 7) {}
};

/// VEX.128.0F38.W0, and no fourth bit (R) of the tile in ModRM.reg: there are eight.
bool may_be_amx(const uint8_t* code) {
  return code[0] == 0xC4 && (code[1] & 0x9F) == 0x82 && (code[2] & 0x84) == 0;
}

constexpr int kShortest = 5;   // bytes: prefix, opcode and ModRM
constexpr int kOnlyTiles = 3;  // ModRM.mod: no memory
constexpr int kSib = 4;        // ModRM.rm: the byte SIB follows
constexpr int kNoIndex = 4;    // SIB.index
constexpr int kNoBase = 5;     // ModRM.rm or SIB.base, where ModRM.mod is 0

std::optional<Operation> operation_of(const Encoding& encoding) {
  const bool has_memory = encoding.mod != kOnlyTiles;
  // Tiles have no fourth bit, which registers of an address do.
  if (!has_memory && (encoding.extend_index | encoding.extend_base) != 0) return std::nullopt;
  const auto is = [&](int opcode, int pp) {
    return encoding.opcode == opcode && encoding.pp == pp;
  };
  const bool has_three_tiles = !has_memory && encoding.vvvv < 8;
  if (is(0x5C, 2) && has_three_tiles) return Operation::kAddProduct;
  if (is(0x5E, 3) && has_three_tiles) return Operation::kAddByteProduct;
  if (encoding.vvvv != 0) return std::nullopt;
  if (is(0x4B, 3) && has_memory && encoding.rm == kSib) return Operation::kLoad;
  if (is(0x4B, 2) && has_memory && encoding.rm == kSib) return Operation::kStore;
  if (is(0x49, 3) && !has_memory && encoding.rm == 0) return Operation::kClear;
  if (is(0x49, 0) && has_memory && encoding.reg == 0) return Operation::kConfigure;
  if (is(0x49, 0) && !has_memory && encoding.reg == 0 && encoding.rm == 0) {
    return Operation::kRelease;
  }
  return std::nullopt;
}

int64_t value_of(const greg_t* registers, int number) {
  static constexpr int kPlaces[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                    REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                    REG_R12, REG_R13, REG_R14, REG_R15};
  return registers[kPlaces[number]];
}

template <typename T>
int64_t displacement(const uint8_t* code, int& length) {
  T value;
  std::memcpy(&value, code + length, sizeof(value));
  length += sizeof(value);
  return value;
}

/// The address, the stride and the length of an instruction with memory. The index of an address
/// is the stride of rows; ldtilecfg, which has no rows, adds it.
void find_memory(const uint8_t* code, const Encoding& encoding, const greg_t* registers,
                 Instruction& instruction) {
  int length = kShortest;
  int base = encoding.rm;
  if (encoding.rm == kSib) {
    const int sib = code[length++];
    base = sib & 7;
    const int index = (sib >> 3 & 7) | encoding.extend_index;
    if (index != kNoIndex) instruction.stride = value_of(registers, index) << (sib >> 6);
  }
  const bool has_base = base != kNoBase || encoding.mod != 0;
  int64_t address = has_base ? value_of(registers, base | encoding.extend_base) : 0;
  if (encoding.mod == 1) address += displacement<int8_t>(code, length);
  if (encoding.mod == 2 || !has_base) address += displacement<int32_t>(code, length);
  // Without SIB, from the next instruction on.
  if (!has_base && encoding.rm == kNoBase) address += registers[REG_RIP] + length;
  if (instruction.operation == Operation::kConfigure) address += instruction.stride;
  instruction.memory = reinterpret_cast<std::byte*>(address);
  instruction.length = length;
}

}  // namespace

std::optional<Instruction> decode(const uint8_t* code, const greg_t* registers) {
  if (!may_be_amx(code)) return std::nullopt;
  const Encoding encoding(code);
  const auto operation = operation_of(encoding);
  if (!operation) return std::nullopt;
  Instruction instruction{.operation = *operation, .length = kShortest, .tile = encoding.reg};
  if (operation == Operation::kAddProduct || operation == Operation::kAddByteProduct) {
    instruction.a = encoding.rm;
    instruction.b = encoding.vvvv;
  }
  if (encoding.mod != kOnlyTiles) find_memory(code, encoding, registers, instruction);
  return instruction;
}

}  // namespace prepack::amx

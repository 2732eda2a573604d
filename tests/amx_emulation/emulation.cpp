#include "amx_emulation/emulation.h"

#include <signal.h>
#include <unistd.h>

#include <string>

#include "amx_emulation/instruction.h"
#include "amx_emulation/tiles.h"
#include "kernels/matrix_unit.h"

namespace prepack {
namespace amx {
namespace {

constinit thread_local Tiles tiles;
constinit thread_local int64_t products = 0;

void execute(const Instruction& instruction) {
  const auto [operation, length, tile, a, b, memory, stride] = instruction;
  switch (operation) {
    case Operation::kConfigure:
      return tiles.configure(memory);
    case Operation::kRelease:
      return tiles.release();
    case Operation::kClear:
      return tiles.clear(tile);
    case Operation::kLoad:
      return tiles.load(tile, memory, stride);
    case Operation::kStore:
      return tiles.store(tile, memory, stride);
    case Operation::kAddProduct:
      ++products;
      return tiles.add_product(tile, a, b);
    case Operation::kAddByteProduct:
      ++products;
      return tiles.add_byte_product(tile, a, b);
  }
}

struct sigaction other_handler {};

/// What cannot be emulated runs again without the emulation, which ends the test, or the program.
void give_up(const char* reason, const uint8_t* code) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string line = std::string("AMX emulation: ") + reason + ", at";
  for (int i = 0; i < 5; ++i) line += {' ', kDigits[code[i] >> 4], kDigits[code[i] & 15]};
  line += '\n';
  [[maybe_unused]] const auto written = write(STDERR_FILENO, line.data(), line.size());
  sigaction(SIGILL, &other_handler, nullptr);
}

void handle(int /*signal*/, siginfo_t* /*info*/, void* context) {
  auto* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const auto* code = reinterpret_cast<const uint8_t*>(registers[REG_RIP]);
  const auto instruction = decode(code, registers);
  if (!instruction) return give_up("an instruction that is not emulated", code);
  try {
    execute(*instruction);
    registers[REG_RIP] += instruction->length;
  } catch (const Misuse& misuse) {
    give_up(misuse.what(), code);
  }
}

void install_handler() {
  struct sigaction action {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO;
  struct sigaction before {};
  sigaction(SIGILL, &action, &before);
  if (before.sa_sigaction != handle) other_handler = before;
}

}  // namespace

int64_t num_products() { return products; }

}  // namespace amx

/// In the place of src/kernels/matrix_unit.cpp's, which the linker does not take from its library
/// because this one is there already. Installs the handler each time, because Catch2 installs one
/// of its own at the beginning of each test.
bool has_matrix_unit() {
  amx::install_handler();
  return true;
}

}  // namespace prepack

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bit>
#include <cstring>
#include <string>
#include <vector>

#include "amx_emulation/instruction.h"
#include "amx_emulation/tiles.h"
#include "kernels/matrix_unit.h"
#include "support/catch.h"

namespace prepack::amx {
namespace {

std::byte* address(int64_t number) { return reinterpret_cast<std::byte*>(number); }

TEST_CASE("instructions are decoded as an assembler writes them", "[amx]") {
  gregset_t registers = {};
  registers[REG_RAX] = 0x1000;
  registers[REG_RCX] = 0x10;
  registers[REG_RBP] = 0x2000;
  registers[REG_R12] = 0x3000;
  registers[REG_R13] = 0x20;
  registers[REG_RIP] = 0x4000;
  struct Case {
    const char* text;
    std::vector<uint8_t> code;
    Instruction expected;
  };
  const Case cases[] = {
      {"ldtilecfg 0x100(%rip)",
       {0xC4, 0xE2, 0x78, 0x49, 0x05, 0x00, 0x01, 0x00, 0x00},
       {.operation = Operation::kConfigure, .length = 9, .memory = address(0x4109)}},
      {"ldtilecfg -0x40(%rbp)",
       {0xC4, 0xE2, 0x78, 0x49, 0x45, 0xC0},
       {.operation = Operation::kConfigure, .length = 6, .memory = address(0x1FC0)}},
      {"tilerelease",
       {0xC4, 0xE2, 0x78, 0x49, 0xC0},
       {.operation = Operation::kRelease, .length = 5}},
      {"tilezero %tmm5",
       {0xC4, 0xE2, 0x7B, 0x49, 0xE8},
       {.operation = Operation::kClear, .length = 5, .tile = 5}},
      {"tileloadd (%rax,%rcx,4), %tmm6",
       {0xC4, 0xE2, 0x7B, 0x4B, 0x34, 0x88},
       {.operation = Operation::kLoad,
        .length = 6,
        .tile = 6,
        .memory = address(0x1000),
        .stride = 0x40}},
      {"tileloadd (%r12), %tmm1",
       {0xC4, 0xC2, 0x7B, 0x4B, 0x0C, 0x24},
       {.operation = Operation::kLoad, .length = 6, .tile = 1, .memory = address(0x3000)}},
      {"tileloadd 0x100(,%r13,8), %tmm2",
       {0xC4, 0xA2, 0x7B, 0x4B, 0x14, 0xED, 0x00, 0x01, 0x00, 0x00},
       {.operation = Operation::kLoad,
        .length = 10,
        .tile = 2,
        .memory = address(0x100),
        .stride = 0x100}},
      {"tilestored %tmm7, -0x1000(%r12,%r13,1)",
       {0xC4, 0x82, 0x7A, 0x4B, 0xBC, 0x2C, 0x00, 0xF0, 0xFF, 0xFF},
       {.operation = Operation::kStore,
        .length = 10,
        .tile = 7,
        .memory = address(0x2000),
        .stride = 0x20}},
      {"tdpbf16ps %tmm7, %tmm4, %tmm1",
       {0xC4, 0xE2, 0x42, 0x5C, 0xCC},
       {.operation = Operation::kAddProduct, .length = 5, .tile = 1, .a = 4, .b = 7}},
      {"tdpbssd %tmm7, %tmm4, %tmm1",
       {0xC4, 0xE2, 0x43, 0x5E, 0xCC},
       {.operation = Operation::kAddByteProduct, .length = 5, .tile = 1, .a = 4, .b = 7}},
  };
  for (const auto& [text, code, expected] : cases) {
    CAPTURE(text);
    REQUIRE(decode(code.data(), registers) == expected);
  }
  const std::vector<uint8_t> others[] = {
      {0x0F, 0x0B, 0x90, 0x90, 0x90},        // ud2
      {0xC4, 0xE2, 0x79, 0x49, 0x00},        // sttilecfg (%rax)
      {0xC4, 0xE2, 0x42, 0x5E, 0xCC},        // tdpbsud %tmm7, %tmm4, %tmm1
      {0xC4, 0xE2, 0x41, 0x5E, 0xCC},        // tdpbusd %tmm7, %tmm4, %tmm1
      {0xC4, 0xE2, 0x40, 0x5E, 0xCC},        // tdpbuud %tmm7, %tmm4, %tmm1
      {0xC4, 0xE2, 0x79, 0x4B, 0x34, 0x88},  // tileloaddt1 (%rax,%rcx,4), %tmm6
      {0xC4, 0xE2, 0x7B, 0x4B, 0x00},        // without a stride, which no assembler writes
      {0xC4, 0xE2, 0x02, 0x5C, 0xCC},        // tdpbf16ps %tmm15, %tmm4, %tmm1
      {0xC4, 0xC2, 0x42, 0x5C, 0xCC},        // tdpbf16ps %tmm7, %tmm12, %tmm1
      {0xC4, 0x62, 0x42, 0x5C, 0xCC},        // tdpbf16ps %tmm7, %tmm4, %tmm9
      {0xC4, 0xA2, 0x42, 0x5C, 0xCC},        // with a fourth bit for an index, without one
      {0xC4, 0x62, 0x7B, 0x49, 0xE8},        // tilezero %tmm13
      {0xC4, 0x62, 0x7B, 0x4B, 0x34, 0x88},  // tileloadd (%rax,%rcx,4), %tmm14
      {0xC4, 0x62, 0x7A, 0x4B, 0x34, 0x88},  // tilestored %tmm14, (%rax,%rcx,4)
  };
  for (const auto& code : others) REQUIRE(!decode(code.data(), registers));
}

struct Shape {
  int num_rows;
  int row_bytes;
};

/// Tiles 0, 1 and on.
Tiles configured(const std::vector<Shape>& shapes) {
  std::byte bytes[64] = {std::byte{1}};
  for (size_t i = 0; i < shapes.size(); ++i) {
    const auto row_bytes = static_cast<uint16_t>(shapes[i].row_bytes);
    std::memcpy(bytes + 16 + 2 * i, &row_bytes, sizeof(row_bytes));
    bytes[48 + i] = static_cast<std::byte>(shapes[i].num_rows);
  }
  Tiles tiles;
  tiles.configure(bytes);
  return tiles;
}

void load(Tiles& tiles, int tile, const std::vector<uint32_t>& row) {
  tiles.load(tile, reinterpret_cast<const std::byte*>(row.data()), /*stride=*/0);
}

/// Of numbers that bfloat16 holds.
uint32_t pair(float lower, float upper) {
  return std::bit_cast<uint32_t>(lower) >> 16 | std::bit_cast<uint32_t>(upper);
}

/// sum + the product of rows of pairs.
float product(float sum, const std::vector<uint32_t>& a, const std::vector<uint32_t>& b) {
  const auto num_pairs = static_cast<int>(a.size());
  auto tiles = configured({{1, 4}, {1, 4 * num_pairs}, {num_pairs, 4}});
  load(tiles, 0, {std::bit_cast<uint32_t>(sum)});
  load(tiles, 1, a);
  tiles.load(2, reinterpret_cast<const std::byte*>(b.data()), /*stride=*/4);
  tiles.add_product(0, 1, 2);
  tiles.store(0, reinterpret_cast<std::byte*>(&sum), /*stride=*/0);
  return sum;
}

TEST_CASE("products of tiles are summed up in the manual's order", "[amx]") {
  REQUIRE(product(1, {pair(2, 3), pair(4, 5)}, {pair(6, 7), pair(8, 9)}) == 1 + 12 + 21 + 32 + 45);
  // Lower and upper halves each by themselves, and the sum before last.
  REQUIRE(product(1, {pair(0x1p24F, -0x1p24F)}, {pair(1, 1)}) == 1);
  REQUIRE(product(0, {pair(0x1p24F, 1), pair(-0x1p24F, 1)}, {pair(1, 1), pair(1, 1)}) == 2);
  REQUIRE(product(0, {pair(1, 0), pair(0x1p24F, 0)}, {pair(1, 0), pair(1, 0)}) == 0x1p24F);
  REQUIRE(product(0, {pair(3, 0), pair(0x1p24F, 0)}, {pair(1, 0), pair(1, 0)}) == 0x1p24F + 4);
}

TEST_CASE("products of tiles of bytes have signs, and wrap around", "[amx]") {
  const auto sum_of = [](uint32_t sum, const std::vector<uint32_t>& a,
                         const std::vector<uint32_t>& b) {
    const auto num_fours = static_cast<int>(a.size());
    auto tiles = configured({{1, 4}, {1, 4 * num_fours}, {num_fours, 4}});
    load(tiles, 0, {sum});
    load(tiles, 1, a);
    tiles.load(2, reinterpret_cast<const std::byte*>(b.data()), /*stride=*/4);
    tiles.add_byte_product(0, 1, 2);
    tiles.store(0, reinterpret_cast<std::byte*>(&sum), /*stride=*/0);
    return sum;
  };
  REQUIRE(sum_of(5, {0x04030201}, {0x281E140A}) == 5 + 10 + 40 + 90 + 160);
  REQUIRE(sum_of(0, {0x80}, {0x80}) == 128 * 128);
  REQUIRE(sum_of(0, {0x7F000000, 0x0000FF00}, {0x80000000, 0x00000300}) ==
          static_cast<uint32_t>(127 * -128 - 3));
  REQUIRE(sum_of(0x7FFFFFFF, {1}, {1}) == 0x80000000);
}

TEST_CASE("subnormal numbers are zeros to products of tiles", "[amx]") {
  REQUIRE(product(0, {pair(0x1p-127F, 0)}, {pair(0x1p100F, 0)}) == 0);
  REQUIRE(product(0, {pair(0x1p-126F, 0)}, {pair(0x1p100F, 0)}) == 0x1p-26F);
  REQUIRE(product(0, {pair(0x1p-100F, 0)}, {pair(0x1p-30F, 0)}) == 0);
  REQUIRE(product(0x1p-127F, {pair(0, 0)}, {pair(1, 1)}) == 0);
  // As to MXCSR, which other sums here follow.
  const volatile float subnormal = 0x1p-127F;
  REQUIRE(subnormal * 0x1p100F == 0x1p-27F);
}

TEST_CASE("a tile holds zeros outside what it is configured for", "[amx]") {
  auto tiles = configured({{2, 8}});
  load(tiles, 0, {1, 2});
  std::vector<uint32_t> out(3 * 4, 7);
  tiles.store(0, reinterpret_cast<std::byte*>(out.data()), /*stride=*/16);
  REQUIRE(out == std::vector<uint32_t>{1, 2, 7, 7, 1, 2, 7, 7, 7, 7, 7, 7});
  tiles.clear(0);
  tiles.store(0, reinterpret_cast<std::byte*>(out.data()), /*stride=*/16);
  REQUIRE(out == std::vector<uint32_t>{0, 0, 7, 7, 0, 0, 7, 7, 7, 7, 7, 7});
}

TEST_CASE("tiles are refused what a CPU refuses", "[amx]") {
  REQUIRE_THROWS_AS(configured({{17, 64}}), Misuse);
  REQUIRE_THROWS_AS(configured({{16, 65}}), Misuse);
  REQUIRE_THROWS_AS(configured({{0, 64}}), Misuse);
  REQUIRE_THROWS_AS(configured({{1, 4}, {}, {}, {}, {}, {}, {}, {}, {1, 4}}), Misuse);
  Tiles tiles;
  const auto fits = [&] { tiles.add_product(0, 1, 2); };
  REQUIRE_THROWS_WITH(fits(), "a tile that is not configured");
  tiles = configured({{2, 12}, {2, 16}, {4, 12}, {}});
  REQUIRE_NOTHROW(fits());
  REQUIRE_THROWS_WITH(tiles.clear(3), "a tile that is not configured");
  REQUIRE_THROWS_WITH(tiles.add_product(0, 0, 2), "a product of a tile with itself");
  for (const auto& shapes : {std::vector<Shape>{{3, 12}, {2, 16}, {4, 12}},
                             std::vector<Shape>{{2, 16}, {2, 16}, {4, 12}},
                             std::vector<Shape>{{2, 12}, {2, 12}, {4, 12}},
                             std::vector<Shape>{{2, 13}, {2, 16}, {4, 13}}}) {
    tiles = configured(shapes);
    REQUIRE_THROWS_WITH(fits(), "tiles that do not fit");
  }
  tiles.release();
  REQUIRE_THROWS_WITH(fits(), "a tile that is not configured");
}

/// What a process of its own that calls f() writes to standard error before an illegal instruction
/// ends it; if one does.
template <typename F>
std::string last_words(const F& f) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_DUMPABLE, 0);  // leaves no core
    dup2(ends[1], STDERR_FILENO);
    signal(SIGILL, SIG_DFL);
    if (has_matrix_unit()) f();
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char buffer[256];
  for (ssize_t size; (size = read(ends[0], buffer, sizeof(buffer))) > 0;) text.append(buffer, size);
  close(ends[0]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  REQUIRE(WTERMSIG(status) == SIGILL);
  return text;
}

TEST_CASE("misuse of tiles ends the program, which says why", "[amx]") {
  REQUIRE(last_words([] { asm volatile("tdpbf16ps %tmm2, %tmm1, %tmm0"); }) ==
          "AMX emulation: a tile that is not configured, at c4 e2 6a 5c c1\n");
  REQUIRE(last_words([] { asm volatile("tdpbsud %tmm2, %tmm1, %tmm0"); }) ==
          "AMX emulation: an instruction that is not emulated, at c4 e2 6a 5e c1\n");
  REQUIRE(last_words([] { asm volatile("ud2; nop; nop; nop"); }) ==
          "AMX emulation: an instruction that is not emulated, at 0f 0b 90 90 90\n");
}

}  // namespace
}  // namespace prepack::amx

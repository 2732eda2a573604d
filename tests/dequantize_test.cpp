#include "weights/dequantize.h"

#include <cstring>
#include <filesystem>
#include <string>

#include "support/catch.h"
#include "weights/gguf.h"

namespace prepack {
namespace {

const auto kQuants = std::filesystem::path(PREPACK_SOURCE_DIR) / "tests/data/gguf/quants.gguf";

const TensorInfo& find_tensor(const GgufFile& gguf, std::string_view name) {
  for (const auto& tensor : gguf.header.tensors) {
    if (tensor.name == name) return tensor;
  }
  FAIL("no tensor " << name);
  throw std::logic_error("unreachable");
}

// The file has blocks of random bytes, with scales of zero, of both signs, denormal and largest,
// and what gguf-py makes of them (scripts/make_gguf_data.py).
TEST_CASE("quantized weights widen to gguf-py's values, bit for bit", "[dequantize]") {
  const auto gguf = open_gguf(kQuants);
  for (const auto* type : {"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"}) {
    INFO(type);
    const auto& stored = find_tensor(gguf, type);
    const auto& expected = find_tensor(gguf, std::string(type) + ".expected");
    REQUIRE(to_string(stored.dtype) == type);
    REQUIRE(stored.shape == expected.shape);
    const auto block = block_of(stored.dtype);
    const uint64_t num_blocks = (stored.end - stored.begin) / block.num_bytes;
    const uint64_t num_elements = num_blocks * block.num_elements;
    REQUIRE(num_elements * sizeof(float) == expected.end - expected.begin);

    std::vector<float> values(num_elements);
    dequantize(stored.dtype, gguf.file->bytes().data() + stored.begin, num_blocks, values.data());
    std::vector<uint32_t> bits(num_elements);
    std::memcpy(bits.data(), values.data(), num_elements * sizeof(float));
    std::vector<uint32_t> expected_bits(num_elements);
    std::memcpy(expected_bits.data(), gguf.file->bytes().data() + expected.begin,
                num_elements * sizeof(float));
    CHECK(bits == expected_bits);
  }
}

TEST_CASE("blocks have the sizes that ggml gives them", "[dequantize]") {
  const auto is = [](StoredDType dtype, uint64_t num_elements, uint64_t num_bytes) {
    const auto block = block_of(dtype);
    return block.num_elements == num_elements && block.num_bytes == num_bytes;
  };
  CHECK(is(StoredDType::kQ4_0, 32, 18));
  CHECK(is(StoredDType::kQ4_1, 32, 20));
  CHECK(is(StoredDType::kQ5_0, 32, 22));
  CHECK(is(StoredDType::kQ5_1, 32, 24));
  CHECK(is(StoredDType::kQ8_0, 32, 34));
  CHECK(is(StoredDType::kQ4_K, 256, 144));
  CHECK(is(StoredDType::kQ5_K, 256, 176));
  CHECK(is(StoredDType::kQ6_K, 256, 210));
  CHECK_FALSE(is_quantized(StoredDType::kU64));
  CHECK(is_quantized(StoredDType::kQ4_0));
  CHECK(is_quantized(StoredDType::kQ6_K));
}

}  // namespace
}  // namespace prepack

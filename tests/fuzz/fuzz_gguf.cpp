#include <cstddef>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "model/gguf_config.h"
#include "prepack/error.h"
#include "text/gguf_tokenizer.h"
#include "weights/dequantize.h"
#include "weights/gguf.h"

namespace {

using namespace prepack;

/// Runs a reader of what was accepted, which may refuse it only by the library's own errors.
void run(const std::function<void()>& reader) {
  try {
    reader();
  } catch (const Error&) {
  }
}

}  // namespace

// Whatever the bytes, the readers of GGUF files either succeed or throw a prepack::Error, and what
// they accept lies inside the file.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  run([&] {
    const auto header = parse_gguf(file, "fuzz");
    for (const auto& tensor : header.tensors) {
      if (tensor.begin > tensor.end || tensor.end > size) __builtin_trap();
      if (!is_quantized(tensor.dtype)) continue;
      const auto block = block_of(tensor.dtype);
      const uint64_t num_blocks = (tensor.end - tensor.begin) / block.num_bytes;
      std::vector<float> values(num_blocks * block.num_elements);
      dequantize(tensor.dtype, file.data() + tensor.begin, num_blocks, values.data());
    }
    run([&] { gguf_config(header, file); });
    run([&] {
      const auto tokenizer = text::parse_gguf_tokenizer(header.metadata);
      tokenizer->decode(tokenizer->encode("A sample: 12 words, <|im_start|> and more."));
    });
  });
  return 0;
}

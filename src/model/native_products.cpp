#include "model/native_products.h"

#include <ATen/cpu/Utils.h>

namespace prepack {
namespace {

bool has_capability(const char* name) {
  const auto capabilities = at::cpu::get_cpu_capabilities();
  const auto found = capabilities.find(name);
  return found != capabilities.end() && found->second.toBool();
}

}  // namespace

bool has_native_products(c10::ScalarType type) {
  // Asked once, because the answer is a dictionary of everything that the CPU can do.
  static const bool kHasBFloat16 = has_capability("avx512_bf16");
  static const bool kHasFloat16 = has_capability("avx512_fp16");
  if (type == c10::ScalarType::BFloat16) return kHasBFloat16;
  if (type == c10::ScalarType::Half) return kHasFloat16;
  return true;
}

bool has_amx() {
  static const bool kHasAmx = has_capability("amx_bf16");
  return kHasAmx;
}

bool has_avx2() {
  static const bool kHasAvx2 = has_capability("avx2");
  return kHasAvx2;
}

}  // namespace prepack

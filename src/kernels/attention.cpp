#include "kernels/attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention.cpp"
#include <hwy/foreach_target.h>
//
#include "kernels/attention_panels-inl.h"
#include "kernels/attention_streamed-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

void attend_block(const AttentionBlock& block) {
  const auto attend = [&]<typename T>(const T*) HWY_ATTR {
    if (is_streamed(block)) {
      attend_streamed<T>(block);
    } else {
      attend_panels<T>(block);
    }
  };
  with_type(block.dtype, attend, block.queries);
}

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace prepack {

HWY_EXPORT(attend_block);

void attend_block(const AttentionBlock& block) { HWY_DYNAMIC_DISPATCH(attend_block)(block); }

}  // namespace prepack
#endif

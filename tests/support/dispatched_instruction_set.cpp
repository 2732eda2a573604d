#include "support/dispatched_instruction_set.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "support/dispatched_instruction_set.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace prepack::testing::HWY_NAMESPACE {
namespace {

int64_t own_target() { return HWY_TARGET; }

}  // namespace
}  // namespace prepack::testing::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace prepack::testing {

HWY_EXPORT(own_target);

int64_t dispatched_instruction_set() { return HWY_DYNAMIC_DISPATCH(own_target)(); }

}  // namespace prepack::testing
#endif

#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <new>
#include <stdexcept>

#include "prepack/error.h"

namespace prepack::text {
namespace {

std::string describe(int error) {
  unsigned char message[256];
  pcre2_get_error_message(error, message, sizeof message);
  return reinterpret_cast<const char*>(message);
}

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

}  // namespace

struct RegexMatcher::State {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 * 1024, 4 * 1024 * 1024, nullptr);

  State() {
    if (!data || !context) throw std::bad_alloc();
    if (stack) pcre2_jit_stack_assign(context, nullptr, stack);
  }
  ~State() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
};

RegexMatcher::RegexMatcher() : state_(std::make_unique<State>()) {}
RegexMatcher::~RegexMatcher() = default;

void Regex::Free::operator()(void* code) const { pcre2_code_free(static_cast<pcre2_code*>(code)); }

Regex::Regex(std::string_view pattern) {
  const std::string translated = oniguruma_to_pcre2(pattern);
  int error = 0;
  PCRE2_SIZE offset = 0;
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  if (!context) throw std::bad_alloc();
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);  // Oniguruma's "." stops at \n only
  code_.reset(pcre2_compile(units(translated), translated.size(), PCRE2_UTF | PCRE2_UCP, &error,
                            &offset, context.get()));
  if (!code_) throw std::invalid_argument(describe(error));
  // Without JIT (an architecture that has none, hardened memory) pcre2_match interprets.
  pcre2_jit_compile(static_cast<pcre2_code*>(code_.get()), PCRE2_JIT_COMPLETE);
}

bool Regex::find(std::string_view text, size_t start, RegexMatcher& matcher, Match& match) const {
  const auto* code = static_cast<const pcre2_code*>(code_.get());
  RegexMatcher::State& state = *matcher.state_;
  const auto run = [&](uint32_t options) {
    return pcre2_match(code, units(text), text.size(), start, PCRE2_NO_UTF_CHECK | options,
                       state.data, state.context);
  };
  int result = run(0);
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = run(PCRE2_NO_JIT);  // its stack is the heap
  if (result == PCRE2_ERROR_NOMATCH) return false;
  if (result < 0) throw InvalidArgument("cannot split the text into words: " + describe(result));
  const PCRE2_SIZE* span = pcre2_get_ovector_pointer(state.data);
  match = {span[0], span[1]};
  return true;
}

}  // namespace prepack::text

#pragma once

#include <string>
#include <string_view>

namespace prepack::text {

/// What is left of a template for conversations like ours, in one spelling: the branches that none
/// reaches are gone (see Condition), and so are variables that nothing reads, comments and the
/// marks of what was generated. Outputs that follow one another are one, as {{ a }}{{ b }} writes
/// what {{ a + b }} does. Text between the tags stands where it is written.
///     {%- if tools %}{{- tools }}{%- else %}{{- "a" }}{%- endif %}{{- message['content'] }}
///     -> {{'a'+message.content}}
std::string find_reached_source(std::string_view jinja);

}  // namespace prepack::text

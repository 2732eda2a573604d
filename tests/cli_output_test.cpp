#include "cli/output.h"
#include "support/catch.h"

namespace prepack::cli {

TEST_CASE("what could change a terminal's state is not shown at one", "[output]") {
  CHECK(printable_at_terminal("a\x1b[2J\x7f\n\tb") == "a\uFFFD[2J\uFFFD\n\tb");
  CHECK(printable_at_terminal("\u0080\u009b2J\u009f") == "\uFFFD\uFFFD2J\uFFFD");
  CHECK(printable_at_terminal("\u00a0é\xC2") == "\u00a0é\xC2");
}

}  // namespace prepack::cli

# Writes a header with the commit that is being built; run before each build, and leaves the header as
# it is when nothing changed.
execute_process(COMMAND git describe --always --dirty --exclude=*
  WORKING_DIRECTORY "${SOURCE_DIR}" OUTPUT_VARIABLE commit ERROR_QUIET RESULT_VARIABLE status
  OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT status EQUAL 0)
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT "${HEADER}"
  CONTENT "#pragma once\n\n#define PREPACK_SOURCE_COMMIT \"@commit@\"\n" @ONLY)

# Writes a header with the commit that is being built; run before each build, and leaves the header as
# it is when nothing changed.
cmake_policy(VERSION 3.22)
execute_process(COMMAND git rev-parse --show-toplevel
  WORKING_DIRECTORY "${SOURCE_DIR}" OUTPUT_VARIABLE root ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
execute_process(COMMAND git describe --always --dirty --exclude=*
  WORKING_DIRECTORY "${SOURCE_DIR}" OUTPUT_VARIABLE commit ERROR_QUIET RESULT_VARIABLE status
  OUTPUT_STRIP_TRAILING_WHITESPACE)
# An archive of the source may lie inside another repository.
if(NOT status EQUAL 0 OR NOT root STREQUAL SOURCE_DIR)
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT "${HEADER}"
  CONTENT "#pragma once\n\n#define PREPACK_SOURCE_COMMIT \"@commit@\"\n" @ONLY)

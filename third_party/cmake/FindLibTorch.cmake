# Finds the CPU half of a LibTorch >= 2.11: its headers, libtorch_cpu and libc10.
#
# TorchConfig.cmake is not used: it refuses to configure a CUDA build of LibTorch where there is no
# CUDA toolkit, and it links the CUDA libraries into every program, although the CPU half of the
# same wheel works by itself and starts in half the time.
#
# Looks in CMAKE_PREFIX_PATH, which may name the torch folder itself or its share/cmake, and in
# the project's own .venv. Defines the target LibTorch::cpu, and LibTorch_LIBRARY_DIR.

set(_hints "")
string(REPLACE ":" ";" _environment "$ENV{CMAKE_PREFIX_PATH}")
foreach(_prefix IN LISTS CMAKE_PREFIX_PATH _environment)
  list(APPEND _hints "${_prefix}" "${_prefix}/../.." "${_prefix}/../../..")
endforeach()
file(GLOB _venv "${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch")
list(APPEND _hints ${_venv})

find_path(LibTorch_INCLUDE_DIR ATen/core/Tensor.h HINTS ${_hints} PATH_SUFFIXES include)
find_library(LibTorch_CPU_LIBRARY torch_cpu HINTS ${_hints} PATH_SUFFIXES lib)
find_library(LibTorch_C10_LIBRARY c10 HINTS ${_hints} PATH_SUFFIXES lib)
mark_as_advanced(LibTorch_INCLUDE_DIR LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY)

if(LibTorch_INCLUDE_DIR AND EXISTS "${LibTorch_INCLUDE_DIR}/torch/headeronly/version.h")
  file(READ "${LibTorch_INCLUDE_DIR}/torch/headeronly/version.h" _header)
  string(REGEX MATCH "TORCH_VERSION_MAJOR ([0-9]+)" _ "${_header}")
  set(LibTorch_VERSION "${CMAKE_MATCH_1}")
  foreach(_part MINOR PATCH)
    string(REGEX MATCH "TORCH_VERSION_${_part} ([0-9]+)" _ "${_header}")
    string(APPEND LibTorch_VERSION ".${CMAKE_MATCH_1}")
  endforeach()
endif()

# at::parallel_for is a template that runs on one thread where its caller is compiled without OpenMP.
find_package(OpenMP QUIET COMPONENTS CXX)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_INCLUDE_DIR OpenMP_CXX_FOUND
  VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE
    "Run scripts/setup.sh, or name a LibTorch with -DCMAKE_PREFIX_PATH=DIR. The compiler must have OpenMP.")

if(LibTorch_FOUND AND NOT TARGET LibTorch::cpu)
  get_filename_component(LibTorch_LIBRARY_DIR "${LibTorch_CPU_LIBRARY}" DIRECTORY)
  add_library(LibTorch::cpu INTERFACE IMPORTED)
  # After the system's folders: the wheel brings headers of other libraries, such as {fmt}, in versions
  # that are not the ones to link.
  target_compile_options(LibTorch::cpu INTERFACE
    "SHELL:-idirafter ${LibTorch_INCLUDE_DIR}"
    "SHELL:-idirafter ${LibTorch_INCLUDE_DIR}/torch/csrc/api/include")
  target_link_libraries(LibTorch::cpu INTERFACE "${LibTorch_CPU_LIBRARY}" "${LibTorch_C10_LIBRARY}")
  # By its flag, not its target: the compiler's libgomp and the wheel's are one library, and naming the
  # place of either would say which.
  target_compile_options(LibTorch::cpu INTERFACE ${OpenMP_CXX_FLAGS})
  target_link_options(LibTorch::cpu INTERFACE ${OpenMP_CXX_FLAGS})
endif()

# What `cmake --install` puts where, so that another program can find_package(prepack).

include(CMakePackageConfigHelpers)
set(_config_dir "${CMAKE_INSTALL_LIBDIR}/cmake/prepack")

install(TARGETS prepack_cli RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
install(TARGETS prepack prepack_kernels prepack_files prepack_packing EXPORT prepackTargets
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(DIRECTORY include/prepack DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(EXPORT prepackTargets NAMESPACE prepack:: DESTINATION "${_config_dir}")

configure_package_config_file(third_party/cmake/prepackConfig.cmake.in
  "${PROJECT_BINARY_DIR}/prepackConfig.cmake" INSTALL_DESTINATION "${_config_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/prepackConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/prepackConfig.cmake"
  "${PROJECT_BINARY_DIR}/prepackConfigVersion.cmake"
  third_party/cmake/FindCbc.cmake
  third_party/cmake/FindLibTorch.cmake
  third_party/cmake/FindPCRE2.cmake
  third_party/cmake/FindSentencePiece.cmake
  third_party/cmake/Findutf8proc.cmake
  DESTINATION "${_config_dir}")

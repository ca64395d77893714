# cmake --install, and what find_package(lmaps) needs afterwards.
set(LMAPS_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/lmaps)
install(TARGETS lmaps_core EXPORT lmaps ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/lmaps DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT lmaps NAMESPACE lmaps:: FILE lmaps-targets.cmake DESTINATION ${LMAPS_CMAKE_DIR})
configure_package_config_file(cmake/lmaps-config.cmake.in lmaps-config.cmake INSTALL_DESTINATION ${LMAPS_CMAKE_DIR})
write_basic_package_version_file(lmaps-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/lmaps-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/lmaps-config-version.cmake
        DESTINATION ${LMAPS_CMAKE_DIR})

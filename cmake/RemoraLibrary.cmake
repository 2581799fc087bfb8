include(CMakeParseArguments)
include(GNUInstallDirs)

# Checks that `room` may see each of ARGN (RemoraGraph.cmake).
function(remora_check_edges room)
  if(NOT room IN_LIST REMORA_ROOMS)
    message(FATAL_ERROR "${room} is not in REMORA_GRAPH (cmake/RemoraGraph.cmake)")
  endif()
  foreach(dep IN LISTS ARGN)
    if(NOT dep IN_LIST REMORA_SEES_${room})
      message(FATAL_ERROR "${room} may not depend on ${dep}: REMORA_GRAPH has no such edge")
    endif()
  endforeach()
endfunction()

# remora_add_library(wgcore SOURCES src/a.c ... [DEPENDS base crypto ...]
#                    [LINKS external-target ...] [IMPURE])
# makes the archive libremora_wgcore.a, the alias remora::wgcore, its export and
# its pkg-config file.  IMPURE: an adapter, left out of the purity check.
function(remora_add_library room)
  cmake_parse_arguments(A "IMPURE" "" "SOURCES;DEPENDS;LINKS;PC_REQUIRES" ${ARGN})
  remora_check_edges(${room} ${A_DEPENDS})
  set(t remora_${room})
  add_library(${t} STATIC ${A_SOURCES})
  add_library(remora::${room} ALIAS ${t})
  set_target_properties(${t} PROPERTIES
    C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF
    POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden
    EXPORT_NAME ${room} REMORA_PC_REQUIRES "${A_PC_REQUIRES}")
  target_compile_options(${t} PRIVATE ${REMORA_WARNINGS})
  if(room IN_LIST REMORA_SMALL_ROOMS)
    target_compile_options(${t} PRIVATE -Os)
  endif()
  target_include_directories(${t}
    PUBLIC $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include>
           $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
    PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/src)
  foreach(dep IN LISTS A_DEPENDS)
    target_link_libraries(${t} PUBLIC remora_${dep})
  endforeach()
  foreach(link IN LISTS A_LINKS)
    target_link_libraries(${t} PRIVATE ${link})
  endforeach()
  set_property(GLOBAL APPEND PROPERTY REMORA_LIBRARIES ${room})
  set_property(GLOBAL PROPERTY REMORA_DEPENDS_${room} ${A_DEPENDS})
  if(NOT A_IMPURE)
    set_property(GLOBAL APPEND PROPERTY REMORA_PURE ${room})
  endif()
  if(REMORA_INSTALL)
    install(TARGETS ${t} EXPORT remora-${room} ARCHIVE
            DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
    install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
            COMPONENT development)
    install(EXPORT remora-${room} NAMESPACE remora:: COMPONENT development
            DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/remora)
    set(PC_ROOM ${room})
    remora_pc_dirs()
    set(requires)
    foreach(dep IN LISTS A_DEPENDS)
      list(APPEND requires "remora-${dep} = ${PROJECT_VERSION}")
    endforeach()
    list(APPEND requires ${A_PC_REQUIRES})
    list(JOIN requires ", " PC_REQUIRES)
    configure_file(${REMORA_SOURCE_DIR}/cmake/remora-lib.pc.in remora-${room}.pc @ONLY)
    install(FILES ${CMAKE_CURRENT_BINARY_DIR}/remora-${room}.pc
            DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
  endif()
endfunction()

# PC_LIBDIR and PC_INCLUDEDIR, from where the .pc file lies: an installed tree
# can be moved.
macro(remora_pc_dirs)
  if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
    set(PC_LIBDIR "${CMAKE_INSTALL_FULL_LIBDIR}")
    set(PC_INCLUDEDIR "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
  else()
    set(PC_LIBDIR "\${pcfiledir}/..")
    file(RELATIVE_PATH PC_INCLUDEDIR "/${CMAKE_INSTALL_LIBDIR}/pkgconfig"
         "/${CMAKE_INSTALL_INCLUDEDIR}")
    set(PC_INCLUDEDIR "\${pcfiledir}/${PC_INCLUDEDIR}")
  endif()
endmacro()

# Called once, after every room: what find_package(remora) reads.
function(remora_install_config)
  if(NOT REMORA_INSTALL)
    return()
  endif()
  include(CMakePackageConfigHelpers)
  get_property(CONFIG_ROOMS GLOBAL PROPERTY REMORA_LIBRARIES)
  get_property(system GLOBAL PROPERTY REMORA_SYSTEM)
  list(JOIN system "\n" CONFIG_SYSTEM)
  set(CONFIG_DEPENDS)
  foreach(room IN LISTS CONFIG_ROOMS)
    get_property(depends GLOBAL PROPERTY REMORA_DEPENDS_${room})
    string(APPEND CONFIG_DEPENDS "set(_remora_depends_${room} ${depends})\n")
  endforeach()
  set(dir ${CMAKE_INSTALL_LIBDIR}/cmake/remora)
  configure_package_config_file(
    ${REMORA_SOURCE_DIR}/cmake/remora-config.cmake.in
    ${PROJECT_BINARY_DIR}/remora-config.cmake INSTALL_DESTINATION ${dir})
  # Before 1.0 a minor version may break what it likes.
  write_basic_package_version_file(
    ${PROJECT_BINARY_DIR}/remora-config-version.cmake
    COMPATIBILITY SameMinorVersion)
  install(FILES ${PROJECT_BINARY_DIR}/remora-config.cmake
                ${PROJECT_BINARY_DIR}/remora-config-version.cmake
          DESTINATION ${dir} COMPONENT development)
endfunction()

# remora_add_test(wgcore wg_handshake [SOURCES tests/wgcore/test_wg_handshake.c]
#                 [DEPENDS room ...] [LINKS target ...])
# builds tests/<room>/test_<unit>.c as the CTest "<room>.<unit>"; it may see the
# room's internals and tests/support.
function(remora_add_test room unit)
  cmake_parse_arguments(A "" "" "SOURCES;DEPENDS;LINKS" ${ARGN})
  if(NOT REMORA_TESTS)
    return()
  endif()
  if(NOT A_SOURCES)
    set(A_SOURCES ${REMORA_SOURCE_DIR}/tests/${room}/test_${unit}.c)
  endif()
  set(t test_${room}_${unit})
  add_executable(${t} ${A_SOURCES})
  set_target_properties(${t} PROPERTIES C_STANDARD 11 C_EXTENSIONS OFF)
  target_compile_options(${t} PRIVATE ${REMORA_WARNINGS})
  target_include_directories(${t} PRIVATE ${REMORA_SOURCE_DIR}/${room}/src
    ${REMORA_SOURCE_DIR}/tests/${room}) # what its tests share
  target_compile_definitions(${t} PRIVATE
    REMORA_VECTORS="${REMORA_SOURCE_DIR}/tests/vectors")
  target_link_libraries(${t} PRIVATE remora_test_support remora_${room}
                        PkgConfig::CMOCKA)
  foreach(dep IN LISTS A_DEPENDS)
    target_link_libraries(${t} PRIVATE remora_${dep})
  endforeach()
  target_link_libraries(${t} PRIVATE ${A_LINKS})
  add_test(NAME ${room}.${unit} COMMAND ${t})
  set_tests_properties(${room}.${unit} PROPERTIES LABELS unit TIMEOUT 300)
endfunction()

# remora_add_fuzz(wg_msg wgcore [DEPENDS ...] [LINKS ...])
# builds fuzz/fuzz_wg_msg.c: with clang and REMORA_FUZZ a libFuzzer target, else
# a replayer; either way a CTest "fuzz.wg_msg" runs the seeds in
# fuzz/corpus/wg_msg.
function(remora_add_fuzz name room)
  cmake_parse_arguments(A "" "" "DEPENDS;LINKS" ${ARGN})
  if(NOT REMORA_TESTS AND NOT REMORA_FUZZ)
    return()
  endif()
  set(t fuzz_${name})
  add_executable(${t} ${REMORA_SOURCE_DIR}/fuzz/fuzz_${name}.c)
  set_target_properties(${t} PROPERTIES C_STANDARD 11 C_EXTENSIONS OFF)
  target_compile_options(${t} PRIVATE ${REMORA_WARNINGS})
  target_include_directories(${t} PRIVATE ${REMORA_SOURCE_DIR}/${room}/src)
  if(REMORA_FUZZ)
    target_compile_options(${t} PRIVATE -fsanitize=fuzzer)
    target_link_options(${t} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(${t} PRIVATE ${REMORA_SOURCE_DIR}/fuzz/driver_main.c)
  endif()
  target_link_libraries(${t} PRIVATE remora_test_support remora_${room})
  foreach(dep IN LISTS A_DEPENDS)
    target_link_libraries(${t} PRIVATE remora_${dep})
  endforeach()
  target_link_libraries(${t} PRIVATE ${A_LINKS})
  set_property(GLOBAL APPEND PROPERTY REMORA_FUZZERS ${name})
  if(REMORA_FUZZ)
    add_test(NAME fuzz.${name} COMMAND ${t} -runs=0 ${REMORA_SOURCE_DIR}/fuzz/corpus/${name})
  else()
    add_test(NAME fuzz.${name} COMMAND ${t} ${REMORA_SOURCE_DIR}/fuzz/corpus/${name})
  endif()
  set_tests_properties(fuzz.${name} PROPERTIES LABELS unit TIMEOUT 300)
endfunction()

# What comes from the system's packages (scripts/deps installs it).
# -DREMORA_STATIC_DEPS=ON links the archives, so that the command depends on
# libc alone.
find_package(PkgConfig REQUIRED)
option(REMORA_STATIC_DEPS "link dependencies from static archives" OFF)

# remora_system_library(b2 HEADER blake2.h NAMES b2): the target remora_sys_b2.
function(remora_system_library name)
  cmake_parse_arguments(A "" "HEADER" "NAMES" ${ARGN})
  set(names ${A_NAMES})
  if(REMORA_STATIC_DEPS)
    list(TRANSFORM names PREPEND lib)
    list(TRANSFORM names APPEND .a)
  endif()
  find_path(REMORA_${name}_INCLUDE ${A_HEADER})
  if(REMORA_STATIC_DEPS)
    find_library(REMORA_${name}_ARCHIVE NAMES ${names})
    set(lib ${REMORA_${name}_ARCHIVE})
  else()
    find_library(REMORA_${name}_LIBRARY NAMES ${names})
    set(lib ${REMORA_${name}_LIBRARY})
  endif()
  if(NOT REMORA_${name}_INCLUDE OR NOT lib)
    message(FATAL_ERROR "${name} was not found; run scripts/deps first")
  endif()
  add_library(remora_sys_${name} INTERFACE)
  target_include_directories(remora_sys_${name} SYSTEM INTERFACE
    $<BUILD_INTERFACE:${REMORA_${name}_INCLUDE}>)
  target_link_libraries(remora_sys_${name} INTERFACE $<BUILD_INTERFACE:${lib}>
    $<INSTALL_INTERFACE:${A_NAMES}>)
  if(REMORA_INSTALL)
    install(TARGETS remora_sys_${name} EXPORT remora-sys)
  endif()
endfunction()

remora_system_library(sodium HEADER sodium.h NAMES sodium)
remora_system_library(b2 HEADER blake2.h NAMES b2)
remora_system_library(bearssl HEADER bearssl.h NAMES bearssl)
remora_system_library(nghttp2 HEADER nghttp2/nghttp2.h NAMES nghttp2)
remora_system_library(zstd HEADER zstd.h NAMES zstd)
if(REMORA_INSTALL)
  install(EXPORT remora-sys NAMESPACE remora:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/remora)
endif()

# llhttp: a library where the system has one; on Debian 12 its C sources are in
# the package node-llhttp and are compiled here, from the system's folder, with
# LLHTTP_STRICT_MODE.
find_path(REMORA_llhttp_INCLUDE llhttp.h
          HINTS /usr/share/include/llhttp PATH_SUFFIXES llhttp)
find_library(REMORA_llhttp_LIBRARY NAMES llhttp)
find_path(REMORA_llhttp_SOURCES llhttp.c HINTS /usr/share/llhttp)

if(REMORA_TESTS)
  pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
  pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
endif()

# What comes from the system's packages (scripts/deps installs it).
# -DREMORA_STATIC_DEPS=ON links the archives, so that the command depends on
# libc alone.
find_package(PkgConfig REQUIRED)
option(REMORA_STATIC_DEPS "link dependencies from static archives" OFF)

# remora_system_library(b2 HEADER blake2.h NAMES b2 [OPTIONAL]): the target
# remora::sys_b2, and the alias remora_sys_b2.  An installed remora finds it
# again for itself (remora-config.cmake.in), so that no path of this machine is
# exported.  OPTIONAL: there may be no such target.
function(remora_system_library name)
  cmake_parse_arguments(A "OPTIONAL" "HEADER" "NAMES" ${ARGN})
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
    if(A_OPTIONAL)
      return()
    endif()
    message(FATAL_ERROR "${name} was not found; run scripts/deps first")
  endif()
  set_property(GLOBAL APPEND PROPERTY REMORA_SYSTEM
    "remora_find_system(${name} ${A_HEADER} ${A_NAMES})")
  add_library(remora::sys_${name} INTERFACE IMPORTED GLOBAL)
  set_target_properties(remora::sys_${name} PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES ${REMORA_${name}_INCLUDE}
    INTERFACE_LINK_LIBRARIES ${lib})
  add_library(remora_sys_${name} ALIAS remora::sys_${name})
endfunction()

remora_system_library(sodium HEADER sodium.h NAMES sodium)
remora_system_library(b2 HEADER blake2.h NAMES b2)
remora_system_library(bearssl HEADER bearssl.h NAMES bearssl)
remora_system_library(nghttp2 HEADER nghttp2/nghttp2.h NAMES nghttp2)
remora_system_library(zstd HEADER zstd.h NAMES zstd)

# ipsec-mb, the fast AEAD of x86-64 (crypto/README.md).  Without it all works
# alike, slower.  Its archive adds 12 MB to a command.
set(REMORA_IPSEC_MB AUTO CACHE STRING "the fast AEAD: AUTO (where found), ON or OFF")
set_property(CACHE REMORA_IPSEC_MB PROPERTY STRINGS AUTO ON OFF)
if(REMORA_IPSEC_MB STREQUAL "AUTO")
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$" AND CMAKE_SIZEOF_VOID_P EQUAL 8)
    remora_system_library(ipsec_mb HEADER intel-ipsec-mb.h NAMES IPSec_MB OPTIONAL)
  endif()
elseif(REMORA_IPSEC_MB)
  remora_system_library(ipsec_mb HEADER intel-ipsec-mb.h NAMES IPSec_MB)
endif()

# SQLite, for store-sqlite, where it is found.
remora_system_library(sqlite3 HEADER sqlite3.h NAMES sqlite3 OPTIONAL)
if(TARGET remora_sys_sqlite3)
  set_property(TARGET remora::sys_sqlite3 APPEND PROPERTY INTERFACE_LINK_LIBRARIES m)
else()
  message(STATUS "SQLite was not found: store-sqlite is neither built nor tested")
endif()

# libdispatch, for io-gcd: the system's on Apple's, elsewhere where it is found.
find_path(REMORA_dispatch_INCLUDE dispatch/dispatch.h)
find_library(REMORA_dispatch_LIBRARY NAMES dispatch)
if(REMORA_dispatch_INCLUDE AND (REMORA_dispatch_LIBRARY OR APPLE))
  set_property(GLOBAL APPEND PROPERTY REMORA_SYSTEM
    "remora_find_system(dispatch dispatch/dispatch.h dispatch)
if(CMAKE_C_COMPILER_ID STREQUAL \"GNU\") # its headers are written for clang
  target_compile_options(remora::sys_dispatch INTERFACE
    \"-D__has_feature(x)=0\" \"-D__has_extension(x)=0\")
endif()")
  add_library(remora::sys_dispatch INTERFACE IMPORTED GLOBAL)
  set_target_properties(remora::sys_dispatch PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES ${REMORA_dispatch_INCLUDE})
  if(REMORA_dispatch_LIBRARY AND NOT APPLE)
    set_target_properties(remora::sys_dispatch PROPERTIES
      INTERFACE_LINK_LIBRARIES ${REMORA_dispatch_LIBRARY})
  endif()
  if(CMAKE_C_COMPILER_ID STREQUAL "GNU") # its headers are written for clang
    set_target_properties(remora::sys_dispatch PROPERTIES INTERFACE_COMPILE_OPTIONS
      "-D__has_feature(x)=0;-D__has_extension(x)=0")
  endif()
  add_library(remora_sys_dispatch ALIAS remora::sys_dispatch)
else()
  message(STATUS "libdispatch was not found: io-gcd is neither built nor tested")
endif()

# llhttp: the system's library where there is one of version 9 or newer (older
# ones are lax unless they were built with LLHTTP_STRICT_MODE); else its C
# sources from the system's folder (Debian 12: package node-llhttp), compiled
# into the target in strict mode under names that begin with rmri_.
find_library(REMORA_llhttp_LIBRARY NAMES llhttp)
find_path(REMORA_llhttp_INCLUDE llhttp.h
          HINTS /usr/share/include/llhttp PATH_SUFFIXES llhttp)
find_path(REMORA_llhttp_SOURCES llhttp.c HINTS /usr/share/llhttp)
set(REMORA_LLHTTP_MAJOR 0)
if(REMORA_llhttp_INCLUDE)
  file(STRINGS ${REMORA_llhttp_INCLUDE}/llhttp.h line REGEX "define LLHTTP_VERSION_MAJOR")
  string(REGEX REPLACE "[^0-9]" "" REMORA_LLHTTP_MAJOR "${line}")
endif()
set(REMORA_LLHTTP_PC_LIBS)
if(REMORA_llhttp_LIBRARY AND REMORA_LLHTTP_MAJOR GREATER_EQUAL 9)
  set(REMORA_LLHTTP_PC_LIBS "-lllhttp")
elseif(NOT REMORA_llhttp_INCLUDE OR NOT REMORA_llhttp_SOURCES)
  message(FATAL_ERROR "llhttp was not found; run scripts/deps first")
endif()

# llhttp_names.h: a #define for each function that llhttp's files define.
function(remora_llhttp_names out)
  set(names)
  foreach(file IN LISTS ARGN)
    file(STRINGS ${file} lines REGEX "^[a-z].*[ *]llhttp_[a-z0-9_]+\\(")
    foreach(line IN LISTS lines)
      string(REGEX REPLACE "^.*[ *](llhttp_[a-z0-9_]+)\\(.*$" "\\1" name "${line}")
      list(APPEND names ${name})
    endforeach()
  endforeach()
  list(REMOVE_DUPLICATES names)
  set(text "/* Written by cmake/RemoraDependencies.cmake. */\n")
  foreach(name IN LISTS names)
    string(APPEND text "#define ${name} rmri_${name}\n")
  endforeach()
  file(GENERATE OUTPUT ${out} CONTENT "${text}")
endfunction()

# remora_use_llhttp(remora_http): <llhttp_names.h>, then <llhttp.h>.
function(remora_use_llhttp target)
  set(dir ${CMAKE_CURRENT_BINARY_DIR}/llhttp)
  if(REMORA_LLHTTP_PC_LIBS)
    remora_llhttp_names(${dir}/llhttp_names.h)
    target_link_libraries(${target} PRIVATE
      $<BUILD_INTERFACE:${REMORA_llhttp_LIBRARY}> $<INSTALL_INTERFACE:llhttp>)
  else()
    set(src ${REMORA_llhttp_SOURCES})
    remora_llhttp_names(${dir}/llhttp_names.h ${src}/llhttp.c ${src}/api.c ${src}/http.c)
    add_library(remora_llhttp OBJECT src/llhttp_parser.c src/llhttp_api.c)
    set_target_properties(remora_llhttp PROPERTIES C_STANDARD 11 C_EXTENSIONS OFF
      POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden)
    target_compile_definitions(remora_llhttp PRIVATE LLHTTP_STRICT_MODE=1)
    target_compile_options(remora_llhttp PRIVATE -w $<$<BOOL:${REMORA_SMALL}>:-Os>)
    target_include_directories(remora_llhttp PRIVATE ${dir} ${src} ${REMORA_llhttp_INCLUDE})
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:remora_llhttp>)
  endif()
  target_include_directories(${target} PRIVATE ${dir})
  target_include_directories(${target} SYSTEM PRIVATE ${REMORA_llhttp_INCLUDE})
  target_compile_definitions(${target} PRIVATE LLHTTP_STRICT_MODE=1)
endfunction()

if(REMORA_TESTS)
  pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
  pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
endif()

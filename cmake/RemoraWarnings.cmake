# All warnings that the project wants clean; -Werror comes from the presets
# (REMORA_WERROR), never for a parent project.
set(REMORA_WARNINGS
    -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wundef
    -Wvla -Wcast-qual -Wcast-align -Wpointer-arith -Wwrite-strings
    -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wimplicit-fallthrough)
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
  list(APPEND REMORA_WARNINGS -Wmissing-variable-declarations -Wunreachable-code)
endif()
if(REMORA_WERROR)
  list(APPEND REMORA_WARNINGS -Werror)
endif()
if(NOT REMORA_IS_TOP)
  set(REMORA_WARNINGS)
endif()

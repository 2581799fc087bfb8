# -DREMORA_SMALL=ON: programs for which size and resident memory count. Rooms off
# the way of the packets are compiled for size, and programs are linked without
# what debuggers alone read, and with relocations packed.
option(REMORA_SMALL "small programs: rooms off the data path by -Os" OFF)
set(REMORA_SMALL_ROOMS)

# In a macro, for the directory that calls it; where the linker has the options
# and libc loads what it makes with them.
macro(remora_small_link name)
  set(CMAKE_REQUIRED_LINK_OPTIONS ${ARGN})
  check_c_source_runs(
    "static int x; int *p = &x; int main(void) { return *p; }" REMORA_LINKS_${name})
  unset(CMAKE_REQUIRED_LINK_OPTIONS)
  if(REMORA_LINKS_${name})
    add_link_options(${ARGN})
  endif()
endmacro()

if(REMORA_SMALL)
  set(REMORA_SMALL_ROOMS
    bridge control derp disco dns http io-posix machine node socks5 tls)
  include(CheckCSourceRuns)
  remora_small_link(PACKED -Wl,-z,pack-relative-relocs)
  remora_small_link(SCRIPT -Wl,--no-eh-frame-hdr
    -Wl,-T,${REMORA_SOURCE_DIR}/cmake/small.ld)
endif()

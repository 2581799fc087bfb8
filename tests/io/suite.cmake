# The adapter suite, which any adapter runs over its own table (adapter.h).
set(REMORA_IO_SUITE loop datagrams streams listeners blobs local sockets network
  trace)

# remora_io_test(io-gcd streams gcd_portable [NAME name] [LINKS target ...])
# builds tests/io/test_streams.c over adapter_gcd_portable.c.
function(remora_io_test room unit adapter)
  cmake_parse_arguments(A "" "NAME" "LINKS" ${ARGN})
  set(dir ${REMORA_SOURCE_DIR}/tests/io)
  set(sources ${dir}/test_${unit}.c ${dir}/script.c ${dir}/adapter_${adapter}.c)
  if(unit STREQUAL trace)
    list(APPEND sources ${dir}/trace.c)
  elseif(unit STREQUAL network AND room STREQUAL sim)
    list(APPEND sources ${dir}/network_sim.c)
  elseif(unit STREQUAL network)
    list(APPEND sources ${dir}/network_host.c)
  endif()
  if(NOT A_NAME)
    set(A_NAME ${unit})
  endif()
  remora_add_test(${room} ${A_NAME} LINKS ${A_LINKS} SOURCES ${sources})
  if(REMORA_TESTS AND unit STREQUAL network AND NOT room STREQUAL sim)
    remora_wrap(test_${room}_${A_NAME} clock_gettime getifaddrs freeifaddrs
      rmri_posix_own_addrs)
  endif()
endfunction()

# remora_wrap(test CALL ...): the test stands between the adapter and these.
function(remora_wrap test)
  foreach(call IN LISTS ARGN)
    target_link_options(${test} PRIVATE "LINKER:--wrap=${call}")
  endforeach()
endfunction()

# What test_faults.c stands in for.
set(REMORA_IO_FAULTS malloc calloc realloc strdup sendto sendmsg fsync renameat
  clock_gettime stat)

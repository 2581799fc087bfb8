# The graph of the rooms, stated once: "room: what it may see".  A library's
# DEPENDS may name nothing else (RemoraLibrary.cmake fails the configuration),
# so an edge that is not written here can't be built.  A row names rows above
# it alone, so there are no cycles.
set(REMORA_GRAPH
    "base:"
    "crypto: base"
    "noise: base crypto"
    "wgcore: base crypto noise"
    "netstack: base"
    "tls: base crypto"
    "http: base"
    "control: base crypto noise http"
    "derp: base crypto http"
    "disco: base crypto http"
    "dns: base"
    "socks5: base"
    "bridge: base"
    "machine: base tls dns"
    "node: base crypto noise wgcore netstack tls http control derp disco dns socks5 bridge machine"
    "relay: base crypto tls http derp disco dns machine"
    "coord: base crypto noise tls http control dns machine"
    "store-sqlite: base crypto coord"
    "io-posix: base"
    "io-gcd: base io-posix"
    "sim: base"
    "cli: base crypto tls http node relay coord store-sqlite io-posix")

set(REMORA_ROOMS)
foreach(row IN LISTS REMORA_GRAPH)
  string(REGEX MATCH "^([a-z0-9-]+):(.*)$" _ "${row}")
  set(room "${CMAKE_MATCH_1}")
  separate_arguments(sees UNIX_COMMAND "${CMAKE_MATCH_2}")
  foreach(seen IN LISTS sees)
    if(NOT seen IN_LIST REMORA_ROOMS)
      message(FATAL_ERROR "REMORA_GRAPH: ${room} sees ${seen}, which is not above it")
    endif()
  endforeach()
  list(APPEND REMORA_ROOMS ${room})
  set(REMORA_SEES_${room} ${sees})
endforeach()

# Sourced by what builds Go programs.
#   use_go VERSION    puts a Go of that version or newer first in PATH: the
#                     system's, or one that an older Go of the system fetches
#                     as a module (golang.org/toolchain).  Fails with a reason.

# at_least A B: version A is B or newer
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

use_go() {
  local need=$1 have mod said root
  command -v go >/dev/null || {
    echo "there is no go command; run scripts/deps first" >&2
    return 1
  }
  export GOTOOLCHAIN=local
  have=$(go env GOVERSION | sed 's/^go//')
  if at_least "$have" "$need"; then return; fi
  mod="golang.org/toolchain@v0.0.1-go$need.$(go env GOOS)-$(go env GOARCH)"
  echo "Go here is $have, needed is $need: fetching $mod"
  said=$(cd / && GOFLAGS='' go mod download -json "$mod") || :
  root=$(sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p' <<<"$said")
  [ -n "$root" ] || {
    echo "the Go toolchain could not be fetched: $said" >&2
    return 1
  }
  # Files in the module cache are not executable; the go command would set
  # these bits itself from version 1.21 on.
  chmod -R u+w "$root/bin" "$root/pkg/tool"
  find "$root/bin" "$root/pkg/tool" -type f -exec chmod a+x {} +
  export GOROOT=$root PATH=$root/bin:$PATH
}

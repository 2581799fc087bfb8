#!/usr/bin/env bash
# Installs the real peers that the tests meet, into DIR (default build/peers):
# tailscaled, tailscale and derper of one pinned version, and controlserver and
# tsnetpeer, whose sources are beside this file (README.md).
#   tests/peers/install.sh [DIR]
# Does nothing when DIR already has them. Go 1.26 or newer is used where it is
# there; an older Go of the system is enough to fetch the right one, which is
# a Go module itself (golang.org/toolchain).
set -euo pipefail
VERSION=v1.98.10
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${1:-$here/../../build/peers}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
tools=(tailscaled tailscale derper)
own=(controlserver tsnetpeer)

want="$VERSION $(cat "$here"/{controlserver,tsnetpeer}/{go.mod,go.sum,main.go} |
  sha256sum | cut -c1-16)"
if [ "$(cat "$dir/.version" 2>/dev/null)" = "$want" ]; then
  whole=1
  for t in "${tools[@]}" "${own[@]}"; do [ -x "$dir/$t" ] || whole=0; done
  if [ $whole = 1 ]; then
    echo "peers $VERSION are already in $dir"
    exit 0
  fi
fi

need=$(sed -n 's/^go //p' "$here/controlserver/go.mod")
command -v go >/dev/null || {
  echo "install.sh: no go command; run scripts/deps first" >&2
  exit 1
}
# at_least A B: version A is B or newer
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }
have=$(GOTOOLCHAIN=local go env GOVERSION | sed 's/^go//')
export GOTOOLCHAIN=local GOFLAGS=-trimpath CGO_ENABLED=0
if ! at_least "$have" "$need"; then
  mod="golang.org/toolchain@v0.0.1-go$need.$(go env GOOS)-$(go env GOARCH)"
  echo "Go here is $have, the peers need $need: fetching $mod"
  said=$(cd / && GOFLAGS='' go mod download -json "$mod") || :
  root=$(sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p' <<<"$said")
  [ -n "$root" ] || {
    echo "install.sh: the Go toolchain could not be fetched: $said" >&2
    exit 1
  }
  # Files in the module cache are not executable; the go command would set
  # these bits itself from version 1.21 on.
  chmod -R u+w "$root/bin" "$root/pkg/tool"
  find "$root/bin" "$root/pkg/tool" -type f -exec chmod a+x {} +
  export GOROOT=$root PATH=$root/bin:$PATH
fi

rm -f "$dir/.version"
pk=()
for t in "${tools[@]}"; do pk+=("tailscale.com/cmd/$t@$VERSION"); done
echo "building ${tools[*]} ${own[*]} (about 2 minutes on 2 cores, once)"
GOBIN=$dir go install "${pk[@]}"
for t in "${own[@]}"; do (cd "$here/$t" && go build -o "$dir/$t" .); done
echo "$want" >"$dir/.version"
echo "peers $VERSION are in $dir"

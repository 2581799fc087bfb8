#!/usr/bin/env bash
# Installs the real peers that the tests meet, into DIR (default build/peers):
# tailscaled, tailscale and derper of one pinned version, and controlserver,
# tsnetpeer and gvisorpeer, whose sources are beside this file (README.md);
# tsnetpeer-ws is tsnetpeer with the DERP client's WebSocket form compiled in.
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
own=(controlserver tsnetpeer gvisorpeer)

want="$VERSION ws $(cat "$here"/{controlserver,tsnetpeer,gvisorpeer}/{go.mod,go.sum,*.go} |
  sha256sum | cut -c1-16)"
if [ "$(cat "$dir/.version" 2>/dev/null)" = "$want" ]; then
  whole=1
  for t in "${tools[@]}" "${own[@]}" tsnetpeer-ws; do [ -x "$dir/$t" ] || whole=0; done
  if [ $whole = 1 ]; then
    echo "peers $VERSION are already in $dir"
    exit 0
  fi
fi

# shellcheck source=tests/peers/go.sh
. "$here/go.sh"
use_go "$(sed -n 's/^go //p' "$here/controlserver/go.mod")"
export GOFLAGS=-trimpath CGO_ENABLED=0

rm -f "$dir/.version"
pk=()
for t in "${tools[@]}"; do pk+=("tailscale.com/cmd/$t@$VERSION"); done
echo "building ${tools[*]} ${own[*]} (about 2 minutes on 2 cores, once)"
GOBIN=$dir go install "${pk[@]}"
for t in "${own[@]}"; do (cd "$here/$t" && go build -o "$dir/$t" .); done
(cd "$here/tsnetpeer" && go build -tags ts_debug_websockets -o "$dir/tsnetpeer-ws" .)
echo "$want" >"$dir/.version"
echo "peers $VERSION are in $dir"

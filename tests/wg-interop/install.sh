#!/usr/bin/env bash
# Builds the WireGuard peers that Debian has not, into DIR (default build/peers):
# the current wireguard-go and boringtun-cli, each of one pinned version.
#   tests/wg-interop/install.sh [DIR]
# Does nothing when DIR already has them. Debian's own wireguard-go, of 2022, is
# a package (scripts/deps).
set -euo pipefail
WIREGUARD_GO=v0.0.0-20260522210424-ecfc5a8d5446 # it has no tags that Go knows
# 0.7.1 is what is in use. Its locked dependencies need Rust 1.88: Debian 12's
# cargo (Rust 1.63) can't build it, nor fetch anything without a clone of the
# whole index; the cargo-web of Debian 12's security updates can (scripts/deps).
BORINGTUN=0.7.1
BORINGTUN_NEEDS=1.88.0

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${1:-$here/../../build/peers}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
want="wireguard-go $WIREGUARD_GO, boringtun-cli $BORINGTUN"
if [ "$(cat "$dir/.wg-version" 2>/dev/null)" = "$want" ] &&
  [ -x "$dir/wireguard-go" ] && [ -x "$dir/boringtun-cli" ]; then
  echo "$want are already in $dir"
  exit 0
fi
rm -f "$dir/.wg-version"
. "$here/../peers/go.sh"

echo "building wireguard-go (half a minute, once)"
# 1.23 would do; this one is fetched for the other peers anyway.
use_go "$(sed -n 's/^go //p' "$here/../peers/controlserver/go.mod")"
GOFLAGS=-trimpath CGO_ENABLED=0 GOBIN=$dir go install "golang.zx2c4.com/wireguard@$WIREGUARD_GO"
mv "$dir/wireguard" "$dir/wireguard-go"

# The first cargo that is new enough: that of PATH (rustup's, perhaps), or the
# system's. `cargo -V`: "cargo 1.96.0 (...)".
cargo=
for c in cargo /usr/bin/cargo; do
  if at_least "$($c -V 2>/dev/null | cut -d' ' -f2)" $BORINGTUN_NEEDS; then
    cargo=$c
    break
  fi
done
[ -n "$cargo" ] || {
  echo "install.sh: no cargo of Rust $BORINGTUN_NEEDS or newer; run scripts/deps first" >&2
  exit 1
}
# A cargo uses the rustc of its own release.
[ "$cargo" = cargo ] || export PATH=/usr/bin:$PATH
echo "building boringtun-cli (a minute on 2 cores, once)"
"$cargo" install --locked --quiet --force --root "$dir/cargo" --version "$BORINGTUN" boringtun-cli
mv "$dir/cargo/bin/boringtun-cli" "$dir/boringtun-cli"
rm -rf "$dir/cargo"
echo "$want" >"$dir/.wg-version"
echo "$want are in $dir"

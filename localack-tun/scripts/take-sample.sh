#!/bin/sh
# Takes the sample capture of localack-pcap: real Linux TCP at both ends of a long, lossy path.
#
#   sudo localack-tun/scripts/take-sample.sh [OUT.pcap]
#
# Three network namespaces are made and removed again; nothing outside them is touched:
#
#   client 192.0.2.10 --veth-- box ==emulated link== server 198.51.100.20 and .21
#   2001:db8:1::10                                   2001:db8:2::20
#
# Needs root, iproute2, Python 3 and Cargo. LOCALACK_TUN names a built binary to use instead of
# Cargo, SEED another draw of the losses than the one the sample has.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
out=${1:-$here/../../localack-pcap/sample/long-lossy-path.pcap}
seed=${SEED:-520588}
client=la-client-$$ box=la-box-$$ server=la-server-$$
work=$(mktemp -d)
emulator='' python=''

fail() { echo "take-sample: $*" >&2; exit 1; }

cleanup() {
    trap - EXIT INT TERM
    for process in $emulator $python; do
        kill "$process" 2>/dev/null || true
    done
    wait
    for namespace in "$client" "$box" "$server"; do
        ip netns del "$namespace" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# wait_for FILE TEXT: until a line of FILE has TEXT, ten seconds at most.
wait_for() {
    for _ in $(seq 100); do
        grep -q "$2" "$1" 2>/dev/null && return
        sleep 0.1
    done
    cat "$1" >&2
    fail "no '$2' within 10 seconds"
}

[ "$(id -u)" = 0 ] || fail "needs root for network namespaces"
for tool in ip python3 timeout; do
    command -v "$tool" >/dev/null || fail "$tool is not installed"
done
if [ -z "${LOCALACK_TUN:-}" ]; then
    target=${CARGO_TARGET_DIR:-$here/../../target}
    (cd "$here/../.." && cargo build --quiet --release -p localack-tun)
    LOCALACK_TUN=$target/release/localack-tun
fi

for namespace in "$client" "$box" "$server"; do
    ip netns add "$namespace"
    ip -n "$namespace" link set lo up
    # No router solicitations or reports of link-local addresses in the capture.
    ip netns exec "$namespace" sysctl -qw net.ipv6.conf.all.addr_gen_mode=1 \
        net.ipv6.conf.default.addr_gen_mode=1 net.ipv6.conf.all.accept_dad=0 \
        net.ipv6.conf.default.accept_dad=0
done
ip netns exec "$box" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1

# The near hop.
ip -n "$client" link add eth0 type veth peer name near netns "$box"
ip -n "$client" link set eth0 up
ip -n "$box" link set near up
ip -n "$client" addr add 192.0.2.10/24 dev eth0
ip -n "$client" addr add 2001:db8:1::10/64 dev eth0
ip -n "$box" addr add 192.0.2.1/24 dev near
ip -n "$box" addr add 2001:db8:1::1/64 dev near
ip -n "$client" route add default via 192.0.2.1
ip -n "$client" route add default via 2001:db8:1::1
ip -n "$client" route add 198.51.100.21 via 192.0.2.1 features ecn

# The far hop: 560 ms of delay there and back, loss both ways. TUN devices without offloads make
# the kernels cut and checksum every segment themselves.
timeout 120 "$LOCALACK_TUN" emulate --left "far@$box" --right "eth0@$server" \
    --delay 280ms --jitter 2ms --rate 20mbit --queue 512kib --loss 1% --seed "$seed" \
    --duration 100s --write "$work/sample.pcap" >"$work/report" 2>"$work/emulator" &
emulator=$!
wait_for "$work/emulator" ready
ip -n "$box" route add 198.51.100.0/24 dev far
ip -n "$box" route add 2001:db8:2::/64 dev far
ip -n "$server" addr add 198.51.100.20/24 dev eth0
ip -n "$server" addr add 198.51.100.21/24 dev eth0
ip -n "$server" addr add 2001:db8:2::20/64 dev eth0
ip -n "$server" route add default dev eth0
ip -n "$server" -6 route add default dev eth0

timeout 120 ip netns exec "$server" python3 "$here/sample_traffic.py" serve >"$work/serve" 2>&1 &
python=$!
wait_for "$work/serve" listening
# The box reports its IPv6 multicast groups for up to two seconds. They cross the link as well, and
# losses are drawn packet by packet: let them pass, so that the seed says which segments are lost.
sleep 2.5
timeout --foreground 90 ip netns exec "$client" python3 "$here/sample_traffic.py" client
sleep 1.5 # the last flow's packets are still under way

kill "$emulator"
wait "$emulator" || fail "the emulator failed: $(cat "$work/emulator")"
emulator=''
cat "$work/report"
cp "$work/sample.pcap" "$out"
chmod 644 "$out"
echo "wrote $out, $(wc -c <"$out") bytes"

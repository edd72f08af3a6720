#!/usr/bin/env bash
# Installs from the Debian archive what the demo and the tests need; with --bench also what the benches compare
# with, with --race what the race detector needs. Does nothing, quietly, when all is there. Starts no daemon: the packages' services stay stopped, with
# systemd and without.
set -euo pipefail

# program or file:package
need=(
	ovs-vswitchd:openvswitch-switch ovs-ofctl:openvswitch-common
	busybox:busybox udhcpc:udhcpc dhclient:isc-dhcp-client
	ip:iproute2 ethtool:ethtool ping:iputils-ping arping:iputils-arping tcpdump:tcpdump
	openstack:python3-openstackclient neutron:python3-neutronclient keystone-manage:python3-keystone
	make:make git:git
)
for option in "$@"; do
	case $option in
	--bench) need+=(ovn-northd:ovn-central ovn-controller:ovn-host dnsmasq:dnsmasq-base iperf3:iperf3) ;;
	--race) need+=(gcc:gcc /usr/include/stdlib.h:libc6-dev) ;;
	*) echo "install-deps: unknown option $option: --bench and --race are known" >&2; exit 2 ;;
	esac
done

PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin
have() { case $1 in /*) [ -e "$1" ] ;; *) command -v "$1" >/dev/null ;; esac; } # a path or a program
missing=()
for n in "${need[@]}"; do
	have "${n%%:*}" || missing+=("${n##*:}")
done
[ ${#missing[@]} -gt 0 ] || exit 0

say() { echo "install-deps: $*" >&2; }
command -v apt-get >/dev/null || { say "missing: ${missing[*]}; this is not Debian, install them by hand"; exit 1; }
[ "$(id -u)" = 0 ] || { say "missing: ${missing[*]}; run as root, or: apt-get install ${missing[*]}"; exit 1; }
say "installing from the Debian archive: ${missing[*]}"

# invoke-rc.d and deb-systemd-invoke ask this file; 101 forbids every start. What was there comes back.
policy=/usr/sbin/policy-rc.d
saved=$(mktemp)
had=
if [ -e $policy ]; then had=1; cp -p $policy "$saved"; fi
restore() { if [ -n "$had" ]; then cp -p "$saved" $policy; else rm -f $policy; fi; rm -f "$saved"; }
trap restore EXIT
printf '#!/bin/sh\nexit 101\n' >$policy
chmod 755 $policy

export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
apt() { apt-get -y -q -o Dpkg::Use-Pty=0 "$@" </dev/null >>"$log" 2>&1; }
if ! apt install --no-install-recommends "${missing[@]}"; then # the package lists may be old or absent
	if ! { apt update && apt install --no-install-recommends "${missing[@]}"; }; then
		tail -n 20 "$log" >&2
		say "apt-get failed, see above; the whole log is $log"
		exit 1
	fi
fi
rm -f "$log"
for n in "${need[@]}"; do
	have "${n%%:*}" || { say "${n##*:} is installed, but there is no ${n%%:*}"; exit 1; }
done
say "done"

package pipeline

import "fmt"

// Cookie layout: 8 bits of mark and layout version, 16 bits rule, 8 bits kind of object, 32 bits object key.
// It says what a flow is, never when it was made.
type Cookie uint64

// CookieMark is in the top byte of every cookie of ours: 0x5 for Penstock, 0x1 for this layout.
const CookieMark = 0x51

// CookieMarkMask selects the mark, for deletes and dumps by cookie.
const CookieMarkMask = 0xff << 56

// CookieOwnerMask selects mark, kind and key: all flows of an object.
const CookieOwnerMask = CookieMarkMask | 0xff_ffffffff

// MakeCookie builds the cookie of a rule's flow for an object.
func MakeCookie(rule uint16, kind uint8, key uint32) Cookie {
	return Cookie(CookieMark<<56 | uint64(rule)<<40 | uint64(kind)<<32 | uint64(key))
}

// Ours reports whether the cookie carries our mark and layout.
func (c Cookie) Ours() bool { return c>>56 == CookieMark }

// Rule is the rule's number.
func (c Cookie) Rule() uint16 { return uint16(c >> 40) }

// Kind is the kind of the object (model.Table.Kind); 0 for base flows.
func (c Cookie) Kind() uint8 { return uint8(c >> 32) }

// Key is the object's key; 0 for base flows.
func (c Cookie) Key() uint32 { return uint32(c) }

// ZoneOwner is the part of a cookie by which a conntrack zone belongs to an object.
func ZoneOwner(c Cookie) uint64 { return uint64(c) & (CookieOwnerMask &^ CookieMarkMask) }

// Fixed OpenFlow port numbers, the same on every host. Package ovsdb asks Open vSwitch for them; a test of
// package controller holds the two declarations equal.
const (
	// PortPatchTun is br-int's patch port to br-tun.
	PortPatchTun = 65000
	// PortPatchInt is the patch port to br-int on br-tun and on mapped bridges.
	PortPatchInt = 65000
	// PortVXLAN and PortGRE are br-tun's tunnel ports.
	PortVXLAN = 65001
	PortGRE   = 65002
	// PortPhysicalBase plus a physical network's number is br-int's patch port to the bridge mapped to it.
	PortPhysicalBase = 64000
)

// FloodGroup is the id of a network's root flood group: its key, below 2³¹.
func FloodGroup(networkKey uint32) uint32 { return networkKey & 0x7fffffff }

// LeafGroup is the id of a flood leaf on a host.
func LeafGroup(leaf uint32) uint32 { return 0xc0000000 | leaf&0xffff }

// MeterClass says what a meter limits.
type MeterClass uint32

// The meter classes; two bits of the meter's id.
const (
	MeterDHCP MeterClass = 1
	MeterARP  MeterClass = 2
	MeterLog  MeterClass = 3
)

// MeterID is a port's meter of a class: slot and class in 18 bits, the most the userspace datapath has.
func MeterID(slot uint16, c MeterClass) uint32 { return uint32(slot)<<2 | uint32(c) }

// Handler is the number of a packet-in handler in userdata.
type Handler uint8

// The handlers.
const (
	HandlerDHCP Handler = 1
	HandlerARP  Handler = 2
	HandlerICMP Handler = 3
	// HandlerRouter gets what a router cannot forward, and what is for itself.
	HandlerRouter Handler = 4
	// HandlerNeighbour gets ARP about next hops; the key in the userdata is the network's.
	HandlerNeighbour Handler = 6
)

func (h Handler) String() string {
	switch h {
	case HandlerDHCP:
		return "dhcp"
	case HandlerARP:
		return "arp"
	case HandlerICMP:
		return "icmp"
	}
	switch h {
	case HandlerRouter:
		return "router"
	case HandlerNeighbour:
		return "neighbour"
	}
	if h.IsLog() {
		return "log"
	}
	return fmt.Sprintf("handler-%d", uint8(h))
}

// UserDataVersion is the first byte of the userdata of our controller actions.
const UserDataVersion = 1

// UserData builds the userdata of a punt: version, handler, port key, big-endian: six bytes.
func UserData(h Handler, portKey uint32) []byte {
	return []byte{UserDataVersion, byte(h), byte(portKey >> 24), byte(portKey >> 16), byte(portKey >> 8), byte(portKey)}
}

// ParseUserData reads what UserData built; ok is false for userdata that is not ours.
func ParseUserData(b []byte) (h Handler, portKey uint32, ok bool) {
	if len(b) != 6 || b[0] != UserDataVersion {
		return 0, 0, false
	}
	return Handler(b[1]), uint32(b[2])<<24 | uint32(b[3])<<16 | uint32(b[4])<<8 | uint32(b[5]), true
}

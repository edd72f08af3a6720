//go:build !linux

package openflow

import "net"

// newThreadConn is for Linux only.
func newThreadConn(net.Conn) net.Conn { return nil }

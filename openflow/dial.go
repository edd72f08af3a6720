package openflow

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
)

// DefaultPort is the port of OpenFlow (IANA).
const DefaultPort = "6653"

// Dial connects to a switch and makes the handshake. Targets are those of ovs-vsctl set-controller and ovs-ofctl:
// tcp:HOST[:PORT], ssl:HOST[:PORT] (with opt.TLS), unix:PATH, e.g. a bridge's own unix:/var/run/openvswitch/br0.mgmt.
// On that socket Open vSwitch sends no packet-ins, port status or flow-removed until a SetConfig makes miss_send_len
// more than 0.
func Dial(ctx context.Context, target string, opt Options) (*Conn, error) {
	network, addr, secure, err := parseTarget(target, opt.TLS)
	if err != nil {
		return nil, err
	}
	opt = opt.withDefaults()
	d := net.Dialer{Timeout: opt.HandshakeTimeout}
	nc, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, fmt.Errorf("openflow: connect to %s: %w", target, err)
	}
	if secure {
		conf := opt.TLS.Clone()
		if conf.ServerName == "" && !conf.InsecureSkipVerify {
			conf.ServerName, _, _ = net.SplitHostPort(addr)
		}
		nc = tls.Client(nc, conf)
	}
	return NewConn(ctx, nc, opt)
}

// parseTarget splits tcp:HOST[:PORT], ssl:HOST[:PORT] or unix:PATH; the passive forms ptcp:[PORT][:HOST], pssl: and punix:
// name the same for listening.
func parseTarget(target string, conf *tls.Config) (network, addr string, secure bool, err error) {
	scheme, rest, ok := strings.Cut(target, ":")
	passive := strings.HasPrefix(scheme, "p")
	switch strings.TrimPrefix(scheme, "p") {
	case "unix":
		if rest == "" {
			return "", "", false, fmt.Errorf("openflow: target %q has no path", target)
		}
		return "unix", rest, false, nil
	case "ssl":
		if conf == nil {
			return "", "", false, errors.New("openflow: an ssl: target needs Options.TLS")
		}
		secure = true
	case "tcp":
	default:
		ok = false
	}
	if !ok {
		return "", "", false, fmt.Errorf("openflow: target %q is not tcp:HOST[:PORT], ssl:HOST[:PORT] or unix:PATH", target)
	}
	if passive {
		port, host, _ := strings.Cut(rest, ":")
		if port == "" {
			port = DefaultPort
		}
		return "tcp", net.JoinHostPort(strings.Trim(host, "[]"), port), secure, nil
	}
	if host, port, err := net.SplitHostPort(rest); err == nil {
		return "tcp", net.JoinHostPort(host, port), secure, nil
	}
	return "tcp", net.JoinHostPort(strings.Trim(rest, "[]"), DefaultPort), secure, nil
}

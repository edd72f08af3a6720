// Package dhcp is a DHCPv4 server (RFC 2131) as a function of the intent: which address a client gets and with
// which options follows from its Port, its Subnet and its Network, so there are no leases to keep, and any
// penstockd gives the same answer before and after a restart.
//
// A client is the port that the packet came in by, and only its own: chaddr must be the port's MAC address, also
// where port security is off; others behind the port (nested VMs, allowed_address_pairs) get no answer and are
// counted. Relayed messages (giaddr) are not answered, a relay agent's option (RFC 3046) without giaddr has no
// meaning. UDP checksums of requests are not verified, since VMs leave them to be filled in by a NIC.
//
// Defaults that are decisions: no DNS option where the subnet has no dns_nameservers (Neutron's agent would name
// its dnsmasq, which forwards; there is none here); siaddr is zero unless server-ip-address, tftp-server-address
// or a tftp-server that is an address say otherwise; bootfile-name and tftp-server go into the fields file and
// sname as well as into their options; clients that list what they want (option 55) get that, and always mask,
// router, times, MTU and the port's own extra_dhcp_opts.
package dhcp

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin"
	"github.com/penstock/penstock/packetin/frame"
)

// Outcomes of the handler, beside those of packetin. A reply that had no room for all options says so.
const (
	OutcomeOffer     = "offer"
	OutcomeAck       = "ack"
	OutcomeAckInform = "ack-inform"
	OutcomeNak       = "nak"
	OutcomeDecline   = "decline" // with FactDeclined: not answered, the address stays the port's
	OutcomeRelease   = "release" // not answered, the address stays the port's

	OutcomeOfferTruncated     = "offer-truncated"
	OutcomeAckTruncated       = "ack-truncated"
	OutcomeAckInformTruncated = "ack-inform-truncated"

	OutcomeRelay       = "ignored-relay"        // giaddr is set
	OutcomeBOOTP       = "ignored-bootp"        // no message type
	OutcomeNotRequest  = "ignored-not-request"  // a message that servers send
	OutcomeMAC         = "ignored-mac"          // chaddr is not the port's MAC
	OutcomeNoAddress   = "ignored-no-address"   // the port has no IPv4 address in a subnet with DHCP
	OutcomeNoServer    = "ignored-no-server"    // the network's DHCP port has no address in that subnet
	OutcomeOtherServer = "ignored-other-server" // the client talks to another server
)

// Outcomes lists every outcome that the handler may give.
func Outcomes() []string {
	return []string{OutcomeOffer, OutcomeAck, OutcomeAckInform, OutcomeNak, OutcomeDecline, OutcomeRelease,
		OutcomeOfferTruncated, OutcomeAckTruncated, OutcomeAckInformTruncated, OutcomeRelay, OutcomeBOOTP, OutcomeNotRequest,
		OutcomeMAC, OutcomeNoAddress, OutcomeNoServer, OutcomeOtherServer,
		packetin.OutcomeMalformed, packetin.OutcomeTruncated, packetin.OutcomeUnknownPort}
}

// DefaultLeaseSeconds is Neutron's dhcp_lease_duration.
const DefaultLeaseSeconds = 86400

// Infinite as a lease time never ends (RFC 2131 3.3).
const Infinite = math.MaxUint32

// Config is what the intent does not say.
type Config struct {
	LeaseSeconds uint32 // DefaultLeaseSeconds if zero
	DNSDomain    string // of networks without a dns_domain
}

// maxPlans bounds the cache of plans; one takes about a kilobyte.
const maxPlans = 16384

// server is a handler with its cache. The cache holds nothing that the views do not say: a plan is used while
// the view has the very objects that it was made of, which is checked once for each revision.
type server struct {
	cfg   Config
	mu    sync.RWMutex
	plans map[uint32]*cached // by port key
}

type cached struct {
	plan     *plan
	revision atomic.Int64 // at which the plan was last found to hold
}

// New makes the packetin.Handler for DHCPv4. One handler serves views of one store: two views of the same
// revision must be equal.
func New(cfg Config) packetin.Handler {
	if cfg.LeaseSeconds == 0 {
		cfg.LeaseSeconds = DefaultLeaseSeconds
	}
	cfg.DNSDomain = strings.Trim(cfg.DNSDomain, ".")
	s := &server{cfg: cfg, plans: make(map[uint32]*cached)}
	return s.handle
}

// plan gives the plan of a port at a view, nil if there is no such port.
func (s *server) plan(v model.View, key uint32) *plan {
	s.mu.RLock()
	c := s.plans[key]
	s.mu.RUnlock()
	if c != nil && c.revision.Load() == v.Revision() {
		return c.plan
	}
	port, ok := v.PortByKey(key)
	switch {
	case !ok:
		if c != nil {
			s.mu.Lock()
			delete(s.plans, key)
			s.mu.Unlock()
		}
		return nil
	case c != nil && c.plan.current(v, port):
		c.revision.Store(v.Revision())
		return c.plan
	}
	c = &cached{plan: newPlan(&s.cfg, v, port)}
	c.revision.Store(v.Revision())
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.plans) >= maxPlans {
		for k := range s.plans { // any will do
			delete(s.plans, k)
			break
		}
	}
	s.plans[key] = c
	return c.plan
}

var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// exchange is one packet on its way through the handler.
type exchange struct {
	in  *packetin.Packet
	out *packetin.Result
	eth frame.Ethernet
	ip  frame.IPv4
	udp frame.UDP
	req request
}

// open takes the packet apart.
func (x *exchange) open() (outcome string, err error) {
	if err = x.eth.Decode(x.in.Data); err == nil && x.eth.Type != frame.TypeIPv4 {
		err = fmt.Errorf("dhcp: EtherType is 0x%04x", x.eth.Type)
	}
	if err == nil {
		err = x.ip.Decode(x.eth.Payload)
	}
	if err == nil && (x.ip.Protocol != frame.ProtoUDP || x.ip.Fragment()) {
		err = fmt.Errorf("dhcp: IP protocol %d, fragment: %v", x.ip.Protocol, x.ip.Fragment())
	}
	if err == nil {
		err = x.udp.Decode(x.ip.Payload)
	}
	if err == nil && x.udp.DstPort != portServer {
		err = fmt.Errorf("dhcp: UDP port is %d", x.udp.DstPort)
	}
	if err == nil {
		err = x.req.decode(x.udp.Payload)
	}
	switch {
	case err == nil:
		return "", nil
	case errors.Is(err, errNotRequest):
		return OutcomeNotRequest, err
	case errors.Is(err, errHardware):
		return OutcomeMAC, err
	case x.in.Truncated():
		return packetin.OutcomeTruncated, err
	}
	return packetin.OutcomeMalformed, err
}

// handle is the packetin.Handler.
func (s *server) handle(v model.View, in *packetin.Packet, r *packetin.Result) error {
	x := exchange{in: in, out: r}
	if outcome, err := x.open(); err != nil {
		return r.Ignore(outcome, err)
	}
	q := &x.req
	if q.msgType == 0 {
		return r.Ignore(OutcomeBOOTP, nil)
	}
	if !q.giaddr.IsUnspecified() {
		return r.Ignore(OutcomeRelay, nil)
	}
	p := s.plan(v, in.PortKey)
	switch {
	case p == nil:
		return r.Ignore(packetin.OutcomeUnknownPort, fmt.Errorf("dhcp: no port has key %d", in.PortKey))
	case q.chaddr != p.port.MAC:
		return r.Ignore(OutcomeMAC, fmt.Errorf("dhcp: chaddr is %s, port %s has %s", q.chaddr, p.port.ID, p.port.MAC))
	case len(p.leases) == 0:
		return r.Ignore(p.outcome, nil)
	case !p.hears(x.ip.Dst):
		return r.Ignore(OutcomeOtherServer, nil)
	}
	switch q.msgType {
	case typeDiscover:
		return x.discover(p)
	case typeRequest:
		return x.request(p)
	case typeInform:
		return x.inform(p)
	case typeDecline:
		return x.decline(p)
	case typeRelease:
		r.Outcome = OutcomeRelease
		return nil
	case typeOffer, typeAck, typeNak:
		return r.Ignore(OutcomeNotRequest, nil)
	}
	return r.Ignore(packetin.OutcomeMalformed, fmt.Errorf("dhcp: message type %d", q.msgType))
}

// discover answers DHCPDISCOVER (RFC 2131 4.3.1) with an offer, or with the address itself where client and port
// want the short exchange (RFC 4039).
func (x *exchange) discover(p *plan) error {
	l := p.lookup(x.req.requested)
	if l == nil {
		l = &p.leases[0]
	}
	if x.req.rapid && l.options(x.req.ipxe).rapid {
		x.reply(p, l, typeAck, true)
		return nil
	}
	x.reply(p, l, typeOffer, false)
	return nil
}

// request answers DHCPREQUEST (RFC 2131 4.3.2) in whichever state the client is. The intent always has a record
// of the client, so the silence that is asked of servers without one never applies.
func (x *exchange) request(p *plan) error {
	q := &x.req
	addr := q.ciaddr // RENEWING, REBINDING
	if q.requested.IsValid() && !q.requested.IsUnspecified() {
		addr = q.requested // SELECTING, INIT-REBOOT
	}
	if q.serverID.IsValid() && !p.serves(q.serverID) {
		return x.out.Ignore(OutcomeOtherServer, nil) // SELECTING, another server was chosen
	}
	if addr.IsUnspecified() {
		return x.out.Ignore(packetin.OutcomeMalformed, fmt.Errorf("dhcp: request for no address"))
	}
	if l := p.lookup(addr); l != nil {
		x.reply(p, l, typeAck, false)
		return nil
	}
	x.nak(p)
	return nil
}

// inform answers DHCPINFORM (RFC 2131 4.3.5).
func (x *exchange) inform(p *plan) error {
	q := &x.req
	if q.ciaddr.IsUnspecified() {
		q.ciaddr = x.ip.Src // some clients leave ciaddr out
	}
	l := p.lookup(q.ciaddr)
	if l == nil {
		l = &p.leases[0] // an address that the port configured itself
	}
	x.reply(p, l, typeInform, false)
	return nil
}

// decline takes note of DHCPDECLINE (RFC 2131 4.3.3).
func (x *exchange) decline(p *plan) error {
	q := &x.req
	if q.serverID.IsValid() && !p.serves(q.serverID) {
		return x.out.Ignore(OutcomeOtherServer, nil)
	}
	if p.lookup(q.requested) == nil {
		return x.out.Ignore(packetin.OutcomeMalformed, fmt.Errorf("dhcp: port %s declines %v, which it was not given", p.port.ID, q.requested))
	}
	x.out.Facts = append(x.out.Facts, packetin.Fact{Kind: packetin.FactDeclined, Port: model.PortID(p.port.ID), Addr: q.requested, MAC: p.port.MAC})
	x.out.Outcome = OutcomeDecline
	return nil
}

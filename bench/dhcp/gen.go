package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/penstock/penstock/internal/ovstest"
)

// nic is a VM's interface: a tap device on the host, as libvirt plugs it, whose other side is here and not in a guest.
type nic struct {
	name string
	mac  [6]byte
	addr netip.Addr // what the server must offer
	fd   int
	tmpl []byte // a DISCOVER with xid 0
}

// newNIC makes the tap in the host's namespace and brings it up.
func newNIC(h *ovstest.Host, name string) (*nic, error) {
	n := &nic{name: name, fd: -1}
	err := h.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		ifr, err := unix.NewIfreq(name)
		if err == nil {
			ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
		}
		if err != nil {
			unix.Close(fd)
			return fmt.Errorf("tap %s: %w", name, err)
		}
		n.fd = fd
		return nil
	})
	if err == nil {
		_, err = h.TryRun("ip", "link", "set", name, "txqueuelen", "4096", "up")
	}
	return n, err
}

// setIdentity sets whose frames the NIC sends.
func (n *nic) setIdentity(mac [6]byte, addr netip.Addr) {
	n.mac, n.addr = mac, addr
	b := make([]byte, 14+20+8, 400)
	copy(b, "\xff\xff\xff\xff\xff\xff")
	copy(b[6:], mac[:])
	b[12] = 8
	ip := b[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, 17
	copy(ip[16:], "\xff\xff\xff\xff")
	binary.BigEndian.PutUint16(b[34:], 68)
	binary.BigEndian.PutUint16(b[36:], 67)
	m := make([]byte, 236)
	m[0], m[1], m[2] = 1, 1, 6
	copy(m[28:], mac[:])
	b = append(append(b, m...), 0x63, 0x82, 0x53, 0x63)
	b = append(b, 53, 1, 1)                             // DISCOVER
	b = append(b, 50, 4, 0, 0, 0, 0, 54, 4, 0, 0, 0, 0) // REQUEST has addresses here; a DISCOVER has the same room as padding
	b = append(b, 55, 8, 1, 3, 6, 12, 15, 26, 51, 121)
	n.tmpl = append(b, 255)
}

const (
	offXID     = 42 + 4
	offOptions = 42 + 240
	offAddrs   = offOptions + 3
)

// discover and request fill b with a frame and return it.
func (n *nic) discover(b []byte, xid uint32) []byte {
	b = append(b[:0], n.tmpl...)
	clear(b[offAddrs : offAddrs+12]) // pads
	return finish(b, xid)
}

func (n *nic) request(b []byte, xid uint32, addr, server []byte) []byte {
	b = append(b[:0], n.tmpl...)
	b[offOptions+2] = 3
	copy(b[offAddrs+2:], addr)
	copy(b[offAddrs+8:], server)
	return finish(b, xid)
}

// finish sets xid, lengths and the IP checksum; UDP goes without one (RFC 768).
func finish(b []byte, xid uint32) []byte {
	binary.BigEndian.PutUint32(b[offXID:], xid)
	binary.BigEndian.PutUint16(b[16:], uint16(len(b)-14))
	binary.BigEndian.PutUint16(b[38:], uint16(len(b)-34))
	b[24], b[25] = 0, 0
	var sum uint32
	for i := 14; i < 34; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[24:], ^uint16(sum))
	return b
}

// reply is what matters of a server's message.
type reply struct {
	xid          uint32
	typ          byte
	addr, server []byte
}

func parse(b []byte) (r reply, ok bool) {
	if len(b) < offOptions || b[12] != 8 || b[13] != 0 || b[23] != 17 || binary.BigEndian.Uint16(b[36:]) != 68 || b[42] != 2 {
		return r, false
	}
	r.xid, r.addr = binary.BigEndian.Uint32(b[offXID:]), b[42+16:42+20]
	for o := b[offOptions:]; len(o) > 1 && o[0] != 255; {
		if o[0] == 0 {
			o = o[1:]
			continue
		}
		n := int(o[1])
		if len(o) < 2+n {
			return r, false
		}
		switch {
		case o[0] == 53 && n == 1:
			r.typ = o[2]
		case o[0] == 54 && n == 4:
			r.server = o[2:6]
		}
		o = o[2+n:]
	}
	return r, r.typ != 0 && r.server != nil
}

// result is what one run found.
type result struct {
	done, started, lost, wrong, refused int
	elapsed                             time.Duration
	offers                              []time.Duration
}

func (r *result) rate() float64 { return float64(r.done) / r.elapsed.Seconds() }

func (r *result) offer(q float64) time.Duration {
	if len(r.offers) == 0 {
		return 0
	}
	slices.Sort(r.offers)
	return r.offers[min(len(r.offers)-1, int(q*float64(len(r.offers))))]
}

// exchange is one of those outstanding; its place in the table is the low part of its xid.
type exchange struct {
	nic   *nic
	xid   uint32
	begun time.Time
	state byte // 0 free, 1 waits for OFFER, 2 waits for ACK
}

const slotBits = 16

// generator runs exchanges on NICs. One goroutine, one thread, no allocation in the loop.
type generator struct {
	nics  []*nic
	epfd  int
	slots []exchange
	free  []uint32
	next  int    // NIC of the next exchange
	turn  uint32 // high part of the next xid
	frame []byte
	rx    []byte
	res   result
}

func newGenerator(nics []*nic) (*generator, error) {
	g := &generator{nics: nics, frame: make([]byte, 0, 512), rx: make([]byte, 2048)}
	var err error
	if g.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	for i, n := range nics {
		if err := unix.EpollCtl(g.epfd, unix.EPOLL_CTL_ADD, n.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}); err != nil {
			return nil, err
		}
	}
	return g, nil
}

func (g *generator) close() { unix.Close(g.epfd) }

// begin starts an exchange on the next NIC.
func (g *generator) begin(slot uint32, now time.Time) {
	n := g.nics[g.next]
	g.next = (g.next + 1) % len(g.nics)
	g.turn++
	g.slots[slot] = exchange{nic: n, xid: g.turn<<slotBits | slot, begun: now, state: 1}
	g.res.started++
	g.frame = n.discover(g.frame, g.slots[slot].xid)
	g.send(n)
}

func (g *generator) send(n *nic) {
	if _, err := unix.Write(n.fd, g.frame); err != nil {
		g.res.refused++
	}
}

// receive takes all that is there for a NIC; done is called with the slot of each exchange that is complete.
func (g *generator) receive(n *nic, done func(slot uint32, now time.Time)) {
	for {
		k, err := unix.Read(n.fd, g.rx)
		if err != nil {
			return
		}
		r, ok := parse(g.rx[:k])
		if !ok {
			continue
		}
		slot := r.xid & (1<<slotBits - 1)
		if int(slot) >= len(g.slots) {
			continue
		}
		x := &g.slots[slot]
		if x.xid != r.xid || x.nic != n {
			continue // given up before
		}
		want := n.addr.As4()
		switch {
		case r.typ == 2 && x.state == 1 && bytes.Equal(r.addr, want[:]):
			x.state = 2
			g.res.offers = append(g.res.offers, time.Since(x.begun))
			g.frame = n.request(g.frame, x.xid, r.addr, r.server)
			g.send(n)
		case r.typ == 5 && x.state == 2 && bytes.Equal(r.addr, want[:]):
			x.state = 0
			g.res.done++
			done(slot, time.Now())
		default:
			g.res.wrong++
		}
	}
}

// wait serves what comes within d.
func (g *generator) wait(d time.Duration, done func(uint32, time.Time)) error {
	var ev [64]unix.EpollEvent
	// Milliseconds are too coarse for an open loop.
	ts := unix.NsecToTimespec(max(d, 0).Nanoseconds())
	n, err := epollPwait2(g.epfd, ev[:], &ts)
	if err != nil && err != unix.EINTR {
		return os.NewSyscallError("epoll_pwait2", err)
	}
	for _, e := range ev[:max(n, 0)] {
		g.receive(g.nics[e.Fd], done)
	}
	return nil
}

// patience is after how long an exchange counts as lost.
const patience = time.Second

// closed keeps so many exchanges outstanding for a while.
func (g *generator) closed(outstanding int, d time.Duration) (result, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	g.reset(outstanding)
	start := time.Now()
	end := start.Add(d)
	for i := range g.slots {
		g.begin(uint32(i), start)
	}
	sweep := start
	for {
		err := g.wait(100*time.Millisecond, func(slot uint32, now time.Time) {
			if now.Before(end) {
				g.begin(slot, now)
			}
		})
		if err != nil {
			return result{}, err
		}
		now := time.Now()
		if !now.Before(end) {
			g.res.elapsed = now.Sub(start)
			break
		}
		if now.Sub(sweep) > 100*time.Millisecond {
			sweep = now
			for i := range g.slots {
				if x := &g.slots[i]; x.state != 0 && now.Sub(x.begun) > patience {
					g.res.lost++
					g.begin(uint32(i), now)
				}
			}
		}
	}
	return g.drain()
}

// open begins exchanges at a fixed rate, whatever becomes of those before. Those begun a patience before the end and
// not done count as lost, as do those that found no free slot.
func (g *generator) open(rate float64, d time.Duration) (result, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	g.reset(1 << slotBits)
	g.free = g.free[:0]
	for i := len(g.slots); i > 0; i-- {
		g.free = append(g.free, uint32(i-1))
	}
	start := time.Now()
	done := func(slot uint32, _ time.Time) { g.free = append(g.free, slot) }
	for sent := 0; ; {
		now := time.Now()
		if now.Sub(start) >= d {
			g.res.elapsed = now.Sub(start)
			break
		}
		for due := int(now.Sub(start).Seconds() * rate); sent < due; sent++ {
			if len(g.free) == 0 {
				return result{}, fmt.Errorf("open loop: %d exchanges are outstanding", len(g.slots))
			}
			slot := g.free[len(g.free)-1]
			g.free = g.free[:len(g.free)-1]
			g.begin(slot, now)
		}
		if err := g.wait(200*time.Microsecond, done); err != nil {
			return result{}, err
		}
	}
	return g.drain()
}

func (g *generator) reset(slots int) {
	g.slots = make([]exchange, slots)
	g.res = result{offers: make([]time.Duration, 0, 1<<18)}
}

// drain waits for what is outstanding; what does not come is lost.
func (g *generator) drain() (result, error) {
	end := time.Now().Add(patience)
	for time.Now().Before(end) && slices.ContainsFunc(g.slots, func(x exchange) bool { return x.state != 0 }) {
		if err := g.wait(10*time.Millisecond, func(uint32, time.Time) {}); err != nil {
			return result{}, err
		}
	}
	for _, x := range g.slots {
		if x.state != 0 {
			g.res.lost++
		}
	}
	return g.res, nil
}

package ovstest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// PingResult says what became of echo requests.
type PingResult struct {
	Sent, Received, Lost int           // Lost leaves out what was still under way when a running ping was stopped
	Duplicates           int           // replies to a sequence number beyond the first
	MaxGap               time.Duration // longest time between two replies in a row
	Output               string        // what ping printed
}

// Ping sends count echo requests, ten in a second, and returns how many were answered within a second.
func (n *Node) Ping(dst string, count int) PingResult {
	n.t.Helper()
	Need(n.t, "ping")
	out, err := n.TryRun("ping", "-n", "-D", "-c", strconv.Itoa(count), "-i", "0.1", "-W", "1", dst)
	r := parsePing(out)
	if r.Sent == 0 && err != nil && !strings.Contains(out, "unreachable") {
		n.t.Fatalf("ovstest: %s: %v", n.Name, err)
	}
	r.Lost = r.Sent - r.Received
	return r
}

// WaitPing pings until one request is answered, at most d, and tells whether one was.
func (n *Node) WaitPing(dst string, d time.Duration) bool {
	return WaitFor(d, func() bool {
		_, err := n.TryRun("ping", "-n", "-c", "1", "-W", "1", dst)
		return err == nil
	})
}

// RunningPing is a ping that goes on until Stop.
type RunningPing struct {
	p *Process
}

// StartPing starts to ping dst every interval (at least a millisecond). Make sure of an answer first,
// such as by WaitPing, where a loss at the start would count against what is tested.
func (n *Node) StartPing(dst string, interval time.Duration) *RunningPing {
	n.t.Helper()
	Need(n.t, "ping")
	return &RunningPing{n.Start("ping", "-n", "-D", "-i", strconv.FormatFloat(interval.Seconds(), 'f', -1, 64), "-W", "1", dst)}
}

// Received is how many replies have come so far.
func (r *RunningPing) Received() int { return parsePing(r.p.Output()).Received }

// Stop ends the ping and returns its result.
func (r *RunningPing) Stop() PingResult {
	r.p.Signal(syscall.SIGINT)
	r.p.Wait(3 * time.Second) // a loss is an exit status of 1
	r.p.Kill()
	return parsePing(r.p.Output())
}

var (
	pingReply = regexp.MustCompile(`^\[([0-9]+)\.([0-9]{6})\] .* icmp_seq=([0-9]+) .*time=`)
	pingTotal = regexp.MustCompile(`(?m)^([0-9]+) packets transmitted`)
)

func parsePing(out string) PingResult {
	r := PingResult{Output: out}
	seen := map[int]bool{}
	var last time.Duration
	highest, wraps, prev := 0, 0, 0
	for _, line := range strings.Split(out, "\n") {
		m := pingReply.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		sec, _ := strconv.ParseInt(m[1], 10, 64)
		usec, _ := strconv.ParseInt(m[2], 10, 64)
		now := time.Duration(sec)*time.Second + time.Duration(usec)*time.Microsecond
		if last != 0 {
			r.MaxGap = max(r.MaxGap, now-last)
		}
		last = now
		seq, _ := strconv.Atoi(m[3]) // 16 bits on the wire: it wraps in a long run
		if len(seen) == 0 {
			prev = seq
		}
		late := seq > prev+1<<15 // from before the wrap
		if seq < prev-1<<15 {
			wraps++
		}
		if late {
			seq += (wraps - 1) << 16
		} else {
			prev, seq = seq, seq+wraps<<16
		}
		if seen[seq] {
			r.Duplicates++
			continue
		}
		seen[seq] = true
		highest = max(highest, seq)
	}
	r.Received = len(seen)
	if m := pingTotal.FindStringSubmatch(out); m != nil {
		r.Sent, _ = strconv.Atoi(m[1])
	}
	r.Lost = highest - r.Received
	return r
}

// Capture is a running tcpdump.
type Capture struct {
	p *Process
}

// Capture starts tcpdump on the node's eth0 (or, with CaptureOn, another interface) and returns when it listens.
func (n *Node) Capture(filter string) *Capture { n.t.Helper(); return n.CaptureOn("eth0", filter) }

// CaptureOn is Capture on a named interface. Each packet is one line, link-level header first.
func (n *Node) CaptureOn(iface, filter string) *Capture {
	n.t.Helper()
	Need(n.t, "tcpdump")
	c := &Capture{n.Start("tcpdump", "-l", "-n", "-e", "-i", iface, "--immediate-mode", filter)}
	if !c.p.WaitOutput("listening on", 10*time.Second) {
		n.t.Fatalf("ovstest: %s: tcpdump does not start: %s", n.Name, c.p.Output())
	}
	return c
}

// Lines is what was captured so far.
func (c *Capture) Lines() []string {
	var lines []string
	for _, l := range c.p.Lines() {
		if len(l) > 2 && l[2] == ':' { // 12:34:56.…; the others are tcpdump's own messages
			lines = append(lines, l)
		}
	}
	return lines
}

// Wait waits at most d for a line that holds substr and returns it, or "".
func (c *Capture) Wait(substr string, d time.Duration) (line string) {
	WaitFor(d, func() bool {
		for _, l := range c.Lines() {
			if strings.Contains(l, substr) {
				line = l
				return true
			}
		}
		return false
	})
	return line
}

// Stop ends the capture and returns its lines.
func (c *Capture) Stop() []string {
	c.p.Signal(syscall.SIGINT)
	c.p.Wait(3 * time.Second) // how it ends does not matter
	return c.Lines()
}

// String is the result in one line.
func (r PingResult) String() string {
	return fmt.Sprintf("sent %d, received %d, lost %d, longest gap %v", r.Sent, r.Received, r.Lost, r.MaxGap)
}

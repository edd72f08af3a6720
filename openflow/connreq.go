package openflow

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
)

// call is a request that waits: the messages with xids base to base+n-1 are its. handle runs in the dispatcher and
// reports whether that was all.
type call struct {
	base, n uint32
	handle  func(xid uint32, m Message) (finished bool)
	dropped bool // nobody waits any more; what still comes is swallowed
}

// callTable finds calls by xid: those with one xid in a map, the few with a range (bundles) in a list.
type callTable struct {
	mu      sync.Mutex
	byXID   map[uint32]*call
	ranges  []*call
	dropped int
}

// maxDropped bounds the calls that are remembered only to swallow late replies.
const maxDropped = 1024

func (t *callTable) add(k *call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k.n == 1 {
		t.byXID[k.base] = k
	} else {
		t.ranges = append(t.ranges, k)
	}
}

func (t *callTable) find(xid uint32) *call {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := t.byXID[xid]; k != nil {
		return k
	}
	for _, k := range t.ranges {
		if xid-k.base < k.n {
			return k
		}
	}
	return nil
}

func (t *callTable) remove(k *call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.removeLocked(k)
}

func (t *callTable) removeLocked(k *call) {
	if k.n == 1 {
		if t.byXID[k.base] == k {
			delete(t.byXID, k.base)
		}
	} else {
		for i, o := range t.ranges {
			if o == k {
				t.ranges = append(t.ranges[:i:i], t.ranges[i+1:]...)
				break
			}
		}
	}
	if k.dropped {
		t.dropped--
		k.dropped = false
	}
}

// drop is for a caller that gives up: late replies must not look like messages that nobody asked for.
func (t *callTable) drop(k *call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dropped >= maxDropped {
		for _, o := range t.byXID {
			if o.dropped {
				t.removeLocked(o)
			}
		}
		for i := len(t.ranges) - 1; i >= 0; i-- {
			if t.ranges[i].dropped {
				t.removeLocked(t.ranges[i])
			}
		}
	}
	k.dropped = true
	t.dropped++
}

// gone is why a request gets no answer.
func (c *Conn) gone() error {
	if err := c.Err(); err != nil && !errors.Is(err, ErrClosed) {
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return ErrClosed
}

// Request sends m and waits for the message with its xid. An error that the switch answers is returned as *Error.
// Only messages that have a reply can be asked this way; for multipart requests use Multipart, for others Transact.
func (c *Conn) Request(ctx context.Context, m Message) (Message, error) {
	ch := make(chan Message, 1)
	xid := c.reserve(1)
	k := &call{base: xid, n: 1, handle: func(_ uint32, m Message) bool {
		select {
		case ch <- m:
		default:
		}
		return true
	}}
	c.calls.add(k)
	if err := c.sendAt(ctx, xid, 1, func(int) Message { return m }); err != nil {
		c.calls.remove(k)
		return nil, err
	}
	select {
	case r := <-ch:
		if e, ok := r.(*Error); ok {
			return nil, e
		}
		return r, nil
	case <-ctx.Done():
		c.calls.drop(k)
		return nil, ctx.Err()
	case <-c.dead:
		c.calls.remove(k)
		return nil, c.gone()
	}
}

// Barrier waits until the switch has processed everything sent before. Errors of that have reached the handler then.
func (c *Conn) Barrier(ctx context.Context) error {
	_, err := c.Request(ctx, BarrierRequest{})
	return err
}

// parts collects the messages of one multipart reply.
type parts struct {
	mu     sync.Mutex
	got    []*MultipartReply
	octets int
	err    error // ends the reply
	last   bool
	ready  chan struct{} // has room for one
}

func (p *parts) add(limit int, m Message) (finished bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch m := m.(type) {
	case *Error:
		p.err = m
	case *MultipartReply:
		p.last = !m.More
		if p.err != nil { // too long before
			break
		}
		for _, b := range m.Parts {
			p.octets += len(b) + multipartLen
		}
		p.got = append(p.got, m)
		if p.octets > limit {
			p.got, p.err = nil, ErrReply
		}
	default:
		p.err = fmt.Errorf("openflow: want a multipart reply, not %s", m.Name())
		p.last = true
	}
	select {
	case p.ready <- struct{}{}:
	default:
	}
	return p.last || p.err != nil && p.err != ErrReply
}

// take returns what came since the last take.
func (p *parts) take() (got []*MultipartReply, last bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	got, p.got, p.octets = p.got, nil, 0
	return got, p.last, p.err
}

// MultipartParts sends a multipart request and yields the messages of its reply as they come. What waits for the caller
// is bounded by Options.MaxReply; a longer reply ends with ErrReply.
func (c *Conn) MultipartParts(ctx context.Context, req Message) iter.Seq2[*MultipartReply, error] {
	return func(yield func(*MultipartReply, error) bool) {
		p := &parts{ready: make(chan struct{}, 1)}
		xid := c.reserve(1)
		k := &call{base: xid, n: 1}
		k.handle = func(_ uint32, m Message) bool { return p.add(c.opt.MaxReply, m) }
		c.calls.add(k)
		if err := c.sendAt(ctx, xid, 1, func(int) Message { return req }); err != nil {
			c.calls.remove(k)
			yield(nil, err)
			return
		}
		for {
			var end error
			select {
			case <-p.ready:
			case <-ctx.Done():
				end = ctx.Err()
			case <-c.dead:
				end = c.gone()
			}
			got, last, err := p.take()
			for _, m := range got {
				if !yield(m, nil) {
					if !last {
						c.giveUp(k, p)
					}
					return
				}
			}
			if err == nil {
				err = end
			}
			if err != nil && !last {
				c.giveUp(k, p)
			}
			if err != nil && !(last && err == end) {
				yield(nil, err)
				return
			}
			if last {
				return
			}
		}
	}
}

// giveUp lets the rest of a reply be swallowed.
func (c *Conn) giveUp(k *call, p *parts) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.last && (p.err == nil || p.err == ErrReply) {
		p.got, p.err = nil, ErrReply
		c.calls.drop(k)
	}
}

// Multipart sends a multipart request and returns its whole reply. A reply longer than Options.MaxReply is ErrReply.
func (c *Conn) Multipart(ctx context.Context, req Message) (*MultipartReply, error) {
	var all *MultipartReply
	octets := 0
	for m, err := range c.MultipartParts(ctx, req) {
		if err != nil {
			return nil, err
		}
		for _, b := range m.Parts {
			octets += len(b) + multipartLen
		}
		switch {
		case octets > c.opt.MaxReply:
			return nil, ErrReply
		case all == nil:
			all = m
		case m.Type != all.Type || m.Exp != all.Exp || m.ExpType != all.ExpType:
			return nil, fmt.Errorf("openflow: %s in the middle of a %s", m.Name(), all.Name())
		default:
			all.Parts = append(all.Parts, m.Parts...)
		}
	}
	all.More = false
	return all, nil
}

// Flows asks for flows and yields them as they come, with memory for one message of the reply. Errors are as in
// MultipartReply.Flows: after an *EntryError the iteration goes on.
func (c *Conn) Flows(ctx context.Context, req *FlowRequest) iter.Seq2[*Flow, error] {
	return func(yield func(*Flow, error) bool) {
		for m, err := range c.MultipartParts(ctx, req) {
			if err != nil {
				yield(nil, err)
				return
			}
			for f, err := range m.Flows() {
				if !yield(f, err) {
					return
				}
			}
		}
	}
}

// Failure is one message that the switch refused.
type Failure struct {
	Index int // of the message in what was sent
	Err   *Error
}

// BatchError says which messages of a Transact or Bundle failed. A bundle that fails has changed nothing.
type BatchError struct {
	Failures []Failure // in the order of the errors; at most 1,000 are kept
	Count    int       // of all failures
	Err      error     // what failed beside single messages: opening, closing or committing the bundle; else nil
}

const maxFailures = 1000

// Error names the first failure.
func (e *BatchError) Error() string {
	switch {
	case len(e.Failures) > 1:
		return fmt.Sprintf("message %d: %v (and %d more)", e.Failures[0].Index, e.Failures[0].Err, e.Count-1)
	case len(e.Failures) == 1:
		return fmt.Sprintf("message %d: %v", e.Failures[0].Index, e.Failures[0].Err)
	}
	return e.Err.Error()
}

// Unwrap returns the first failure's error.
func (e *BatchError) Unwrap() error {
	if len(e.Failures) > 0 {
		return e.Failures[0].Err
	}
	return e.Err
}

func (e *BatchError) add(index int, err *Error) {
	if e.Count++; len(e.Failures) < maxFailures {
		e.Failures = append(e.Failures, Failure{index, err})
	}
}

// Transact sends messages that have no reply, and a barrier, and waits for it. A *BatchError says which the
// switch refused; the others have taken effect.
func (c *Conn) Transact(ctx context.Context, msgs ...Message) error {
	n := uint32(len(msgs))
	k := &call{base: c.reserve(len(msgs) + 2), n: n + 2} // two xids at least make it a range
	fail := &BatchError{}
	done := make(chan struct{})
	k.handle = func(xid uint32, m Message) bool {
		i := xid - k.base
		e, isErr := m.(*Error)
		if i < n {
			if isErr {
				fail.add(int(i), e)
			}
			return false
		}
		if i > n {
			return false
		}
		if isErr {
			fail.Err = e
		}
		close(done)
		return true
	}
	err := c.run(ctx, k, done, len(msgs)+1, func(i int) Message {
		if i == len(msgs) {
			return BarrierRequest{}
		}
		return msgs[i]
	})
	if err == nil && (fail.Count > 0 || fail.Err != nil) {
		return fail
	}
	return err
}

// run registers k, sends its first n messages and waits for done.
func (c *Conn) run(ctx context.Context, k *call, done <-chan struct{}, n int, get func(i int) Message) error {
	c.calls.add(k)
	if err := c.sendAt(ctx, k.base, n, get); err != nil {
		c.calls.drop(k)
		return err
	}
	return c.wait(ctx, k, done)
}

func (c *Conn) wait(ctx context.Context, k *call, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		c.calls.drop(k)
		return ctx.Err()
	case <-c.dead:
		c.calls.remove(k)
		return c.gone()
	}
}

// Bundle applies messages (FlowMod, GroupMod, PacketOut; PortMod if not atomic) all or none, in order: it opens a bundle,
// adds them without waiting, closes it, and commits if nothing was refused, which takes two round trips. A
// *BatchError says which messages were refused; then, and when ctx ends first, nothing has changed, except that a
// commit whose reply was not waited for may have happened.
func (c *Conn) Bundle(ctx context.Context, flags BundleFlags, msgs []Message) error {
	n := uint32(len(msgs))
	// xids: open, messages, close, commit, discard
	k := &call{base: c.reserve(len(msgs) + 4), n: n + 4}
	id := k.base
	fail := &BatchError{}
	closed, committed := make(chan struct{}), make(chan struct{})
	over := false
	var mu sync.Mutex // guards fail: a switch may send errors after its reply
	failed := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return fail.Count > 0 || fail.Err != nil
	}
	k.handle = func(xid uint32, m Message) bool {
		mu.Lock()
		defer mu.Unlock()
		i := xid - k.base
		e, isErr := m.(*Error)
		switch {
		case isErr && i >= 1 && i <= n:
			fail.add(int(i)-1, e)
		case isErr && i != n+3 && fail.Err == nil:
			fail.Err = e
		}
		switch i {
		case n + 1:
			if !over {
				close(closed)
			}
			over = true
		case n + 2:
			close(committed)
			return true
		case n + 3:
			return true
		}
		return false
	}
	control := func(cmd BundleCommand) *BundleControl {
		return &BundleControl{ID: id, Command: cmd, Flags: flags}
	}
	add := &BundleAdd{ID: id, Flags: flags}
	err := c.run(ctx, k, closed, len(msgs)+2, func(i int) Message {
		switch i {
		case 0:
			return control(BundleOpen)
		case len(msgs) + 1:
			return control(BundleClose)
		}
		add.Message = msgs[i-1]
		return add
	})
	if err != nil || failed() {
		c.sendLast(k.base+n+3, control(BundleDiscard))
		if err != nil {
			var e *EncodeError
			if errors.As(err, &e) {
				e.Index-- // the first message opened the bundle
			}
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		got := *fail // errors that come later are no longer the caller's
		return &got
	}
	if err := c.sendAt(ctx, k.base+n+2, 1, func(int) Message { return control(BundleCommit) }); err != nil {
		c.calls.drop(k)
		c.sendLast(k.base+n+3, control(BundleDiscard))
		return err
	}
	if err := c.wait(ctx, k, committed); err != nil {
		return err
	}
	if failed() {
		return fail // the call is over: nothing writes to it any more
	}
	return nil
}

// Reply sends m with the xid of the request that it answers, as switches do. It waits for room like Send.
func (c *Conn) Reply(ctx context.Context, xid uint32, m Message) error {
	return c.sendAt(ctx, xid, 1, func(int) Message { return m })
}

// sendLast queues a message whatever the state of the queue; it is for the few that clean up.
func (c *Conn) sendLast(xid uint32, m Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		c.out, _ = Encode(c.out, m, xid)
		c.wakeWriter()
	}
}

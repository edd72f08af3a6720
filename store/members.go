package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/penstock/penstock/model"
)

// Member is one penstockd that is alive: its record goes with its lease.
type Member struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"` // Config.Member
	Host    string    `json:"host"` // the machine's host name
	Started time.Time `json:"started"`
	// Leader is whether the member is the one that owns hosts now.
	Leader bool `json:"-"`
}

// Owner says which member runs a host's sessions.
type Owner struct {
	Member string `json:"member"`
	// Generation grows with every change of ownership of any host: the OpenFlow role's generation id.
	Generation uint64 `json:"-"`
}

// record is a watched key that belongs to members: under a lease, and gone with it.
type record struct {
	value []byte
	rev   int64
	lease int64
}

// setRecord notes a record's new value, nil if it is gone: the watch goroutine only.
func (s *Store) setRecord(key string, r *record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r == nil {
		delete(s.records, key)
	} else {
		s.records[key] = *r
	}
}

// record gives a record and a channel that is closed when any record changes.
func (s *Store) record(key string) (record, bool, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[key]
	return r, ok, s.changed
}

// Members lists the members that are alive, sorted by name and id.
func (s *Store) Members() []Member {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Member
	for key, r := range s.records {
		var m Member
		if strings.HasPrefix(key, membersPfx) && json.Unmarshal(r.value, &m) == nil {
			m.Leader = string(s.records[leaderKey].value) == m.ID
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b Member) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return out
}

// OwnerOf says who owns a host; ok is false while nobody does.
func (s *Store) OwnerOf(host model.HostName) (o Owner, ok bool) {
	r, ok, _ := s.record(ownerPfx + string(host))
	if !ok || json.Unmarshal(r.value, &o) != nil {
		return Owner{}, false
	}
	o.Generation = uint64(r.rev)
	return o, true
}

// leaseState is what keepLease tells Own: the term during which this member leads.
type leaseState struct {
	mu      sync.Mutex
	lease   clientv3.LeaseID
	term    int64 // mod revision of the leader's record if it is ours, else 0
	changed chan struct{}
}

func (l *leaseState) get() (lease clientv3.LeaseID, term int64, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.lease, l.term, l.changed
}

func (l *leaseState) set(lease clientv3.LeaseID, term int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lease == lease && l.term == term {
		return
	}
	l.lease, l.term = lease, term
	if l.changed != nil {
		close(l.changed)
	}
	l.changed = make(chan struct{})
}

// keepLease keeps this member's record and stands for election, under one lease, until ctx ends. When the
// lease is lost, all that is owned is lost first here, then in etcd.
func (s *Store) keepLease(ctx context.Context) {
	host, _ := os.Hostname()
	me, _ := json.Marshal(Member{ID: s.member, Name: s.cfg.Member, Host: host, Started: time.Now().UTC()})
	for ctx.Err() == nil {
		err := s.term(ctx, me)
		s.lease.set(0, 0)
		if ctx.Err() != nil {
			return
		}
		s.lg.Warn("membership lost: joining again", zap.Error(err))
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// term is one lease's life.
func (s *Store) term(ctx context.Context, me []byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	grant, err := s.client.Grant(ctx, int64(s.cfg.LeaseTTL/time.Second))
	if err != nil {
		return err
	}
	defer func() {
		// Others need not wait for the lease to run out.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if s.failure() == nil {
			_, _ = s.client.Revoke(ctx, grant.ID)
		}
	}()
	alive, err := s.client.KeepAlive(ctx, grant.ID)
	if err != nil {
		return err
	}
	lease := clientv3.WithLease(grant.ID)
	if _, err := s.client.Put(ctx, membersPfx+s.member, string(me), lease); err != nil {
		return err
	}
	for {
		r, there, changed := s.record(leaderKey)
		mine := there && string(r.value) == s.member
		switch {
		case mine && r.lease == int64(grant.ID):
			s.lease.set(grant.ID, r.rev)
		case !there || mine: // nobody's, or ours from before a restart
			s.lease.set(grant.ID, 0)
			resp, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(leaderKey), "=", r.rev)).
				Then(clientv3.OpPut(leaderKey, s.member, lease)).Commit()
			if err != nil {
				return err
			}
			if err := s.WaitFor(ctx, resp.Header.Revision); err != nil {
				return err
			}
			continue
		default:
			s.lease.set(grant.ID, 0)
		}
	wait:
		for {
			select {
			case _, ok := <-alive:
				if !ok {
					return fmt.Errorf("store: etcd did not answer for %v", s.cfg.LeaseTTL)
				}
			case <-changed:
				break wait
			case <-s.stopped():
				return s.emb.err
			}
		}
	}
}

// Own runs onOwned whenever this member owns a host, until ctx ends or the store is closed: with a context that ends with the
// ownership and the generation that the switches are to be told. At first one elected member owns every host;
// callers may not rely on that. If onOwned returns early, it is called again with the next ownership.
func (s *Store) Own(ctx context.Context, host model.HostName, onOwned func(ctx context.Context, generation uint64)) error {
	if err := checkName("host name", string(host)); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.run, cancel)()
	for ctx.Err() == nil {
		lease, term, changed := s.lease.get()
		if term != 0 {
			if err := s.own(ctx, host, lease, term, changed, onOwned); err != nil && ctx.Err() == nil {
				s.lg.Warn("cannot take ownership", zap.String("host", string(host)), zap.Error(err))
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
				}
				continue
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

func (s *Store) own(ctx context.Context, host model.HostName, lease clientv3.LeaseID, term int64, changed <-chan struct{}, onOwned func(context.Context, uint64)) error {
	key := ownerPfx + string(host)
	value, _ := json.Marshal(Owner{Member: s.member})
	resp, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(leaderKey), "=", term)).
		Then(clientv3.OpPut(key, string(value), clientv3.WithLease(lease))).Commit()
	if err != nil || !resp.Succeeded {
		return err // not the leader any more: changed will say so
	}
	gen := resp.Header.Revision
	if err := s.WaitFor(ctx, gen); err != nil {
		return err
	}
	owned, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		defer cancel()
		for {
			r, there, again := s.record(key)
			if !there || r.rev != gen {
				return
			}
			select {
			case <-again:
			case <-changed:
				return
			case <-owned.Done():
				return
			}
		}
	}()
	onOwned(owned, uint64(gen))
	early := owned.Err() == nil
	if early { // keep the record: nobody else is to take a host that we lead but have nothing to do for
		<-owned.Done()
	}
	cancel()
	<-watched
	if ctx.Err() != nil && s.failure() == nil {
		del, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer stop()
		_, _ = s.client.Txn(del).If(clientv3.Compare(clientv3.ModRevision(key), "=", gen)).Then(clientv3.OpDelete(key)).Commit()
	}
	return nil
}

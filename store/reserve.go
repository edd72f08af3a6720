package store

import (
	"math/bits"
	"sync"
)

// reservations mirrors the uniq and num keys in memory. The watch keeps it up to date; transactions of this
// process mark there what they are about to take, so that they do not collide with each other in etcd.
type reservations struct {
	mu   sync.Mutex
	uniq map[string]map[string]reservation // space -> value
	nums map[string]*numbers               // by space
	byTx map[string]*Tx                    // key -> who is about to take it
}

type reservation struct {
	owner string
	rev   int64 // the key's mod revision
}

func newReservations() *reservations {
	return &reservations{uniq: map[string]map[string]reservation{}, nums: map[string]*numbers{}, byTx: map[string]*Tx{}}
}

func (r *reservations) setUniq(space, value, owner string, rev int64) {
	m := r.uniq[space]
	if m == nil {
		m = map[string]reservation{}
		r.uniq[space] = m
	}
	m[value] = reservation{owner, rev}
}

func (r *reservations) dropUniq(space, value string) {
	if delete(r.uniq[space], value); len(r.uniq[space]) == 0 {
		delete(r.uniq, space)
	}
}

func (r *reservations) setNum(space string, n uint32, rev int64) {
	if r.nums[space] == nil {
		r.nums[space] = &numbers{revs: map[uint32]int64{}, blocks: map[uint32]*block{}}
	}
	r.nums[space].set(n, rev)
}

func (r *reservations) dropNum(space string, n uint32) {
	if s := r.nums[space]; s != nil {
		if s.drop(n); len(s.revs) == 0 {
			delete(r.nums, space)
		}
	}
}

// settle forgets what a transaction was about to take, once it is in the mirror or surely not in etcd.
func (r *reservations) settle(tx *Tx) {
	r.mu.Lock()
	for key := range tx.res {
		if r.byTx[key] == tx {
			delete(r.byTx, key)
		}
	}
	r.mu.Unlock()
	close(tx.settled)
}

// numbers are the allocated numbers of a space, with a bitmap in blocks to find the free ones.
type numbers struct {
	revs   map[uint32]int64
	blocks map[uint32]*block // by number / blockSize
}

const blockSize = 1024

type block struct {
	n    int
	bits [blockSize / 64]uint64
}

func (s *numbers) set(n uint32, rev int64) {
	if _, ok := s.revs[n]; !ok {
		b := s.blocks[n/blockSize]
		if b == nil {
			b = new(block)
			s.blocks[n/blockSize] = b
		}
		b.n++
		b.bits[n%blockSize/64] |= 1 << (n % 64)
	}
	s.revs[n] = rev
}

func (s *numbers) drop(n uint32) {
	if _, ok := s.revs[n]; !ok {
		return
	}
	delete(s.revs, n)
	b := s.blocks[n/blockSize]
	b.bits[n%blockSize/64] &^= 1 << (n % 64)
	if b.n--; b.n == 0 {
		delete(s.blocks, n/blockSize)
	}
}

// free gives the first number from n to hi that is not allocated; ok is false if there is none. A nil space is all free.
func (s *numbers) free(n, hi uint32) (_ uint32, ok bool) {
	for u, h := uint64(n), uint64(hi); u <= h; {
		if s == nil {
			return uint32(u), true
		}
		b := s.blocks[uint32(u/blockSize)]
		if b == nil {
			return uint32(u), true
		}
		if b.n == blockSize {
			u = (u/blockSize + 1) * blockSize
			continue
		}
		if rest := ^b.bits[u%blockSize/64] >> (u % 64); rest != 0 {
			u += uint64(bits.TrailingZeros64(rest))
			return uint32(u), u <= h
		}
		u = (u/64 + 1) * 64
	}
	return 0, false
}

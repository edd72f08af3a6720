package store

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Errors of Update and Subscription.
var (
	// ErrConflict: other writers changed what the transaction read, again and again; the client may retry.
	ErrConflict = errors.New("store: too many concurrent changes of the same objects: try again")
	// ErrClosed: the store is closed.
	ErrClosed = errors.New("store: closed")
	// ErrUnavailable: etcd cannot take writes now. Reads from the snapshot go on.
	ErrUnavailable = errors.New("store: unavailable")
)

// ErrTaken says that a value is reserved already. Owner is empty while another transaction is about to take it.
type ErrTaken struct{ Space, Value, Owner string }

func (e *ErrTaken) Error() string {
	return fmt.Sprintf("store: %s %q is taken by %q", e.Space, e.Value, e.Owner)
}

// ErrExhausted says that every number of a range is allocated.
type ErrExhausted struct {
	Space  string
	Lo, Hi uint32
}

func (e *ErrExhausted) Error() string {
	return fmt.Sprintf("store: no %s is free between %d and %d", e.Space, e.Lo, e.Hi)
}

// ErrTooLarge says that a transaction is beyond the limits that etcd is set to; nothing of it was done.
type ErrTooLarge struct{ Ops, MaxOps, Bytes, MaxBytes int }

func (e *ErrTooLarge) Error() string {
	return fmt.Sprintf("store: request of %d operations and %d bytes is beyond etcd's limits (%d, %d): split it, or raise --max-txn-ops and --max-request-bytes there and in the configuration",
		e.Ops, e.Bytes, e.MaxOps, e.MaxBytes)
}

// certain reports whether a failed transaction surely was not and will not be applied.
func certain(err error) bool {
	for _, e := range []error{rpctypes.ErrTooManyOps, rpctypes.ErrRequestTooLarge, rpctypes.ErrNoSpace, rpctypes.ErrDuplicateKey,
		rpctypes.ErrEmptyKey, rpctypes.ErrLeaseNotFound, rpctypes.ErrTooManyRequests, rpctypes.ErrPermissionDenied,
		rpctypes.ErrInvalidAuthToken, rpctypes.ErrUserEmpty} {
		if errors.Is(err, e) {
			return true
		}
	}
	switch status.Code(err) {
	case codes.InvalidArgument, codes.PermissionDenied, codes.Unauthenticated, codes.ResourceExhausted:
		return true
	}
	return false
}

// explain says what an etcd error means and what to do, in one line.
func (s *Store) explain(op string, err error) error {
	where := "the external etcd"
	if len(s.cfg.Endpoints) == 0 {
		where = "the embedded etcd in " + s.cfg.DataDir
	}
	switch {
	case err == nil || errors.Is(err, ErrClosed) || errors.Is(err, ErrUnavailable):
		return err
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("store: %s: %w", op, err)
	case errors.Is(err, rpctypes.ErrNoSpace):
		return fmt.Errorf("%w: %s: %s is at its size limit: it is being compacted; if this stays, raise its quota (%w)", ErrUnavailable, op, where, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, rpctypes.ErrNoLeader), errors.Is(err, rpctypes.ErrTimeout),
		status.Code(err) == codes.Unavailable, status.Code(err) == codes.DeadlineExceeded:
		return fmt.Errorf("%w: %s: %s does not answer: check that it runs and has a majority of its members (%w)", ErrUnavailable, op, where, err)
	}
	return fmt.Errorf("store: %s: %s refused: %w", op, where, err)
}

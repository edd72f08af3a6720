package store

import (
	"errors"
	"slices"
)

// InParts runs do for parts of items, of at most size items, in order, and halves a part for as long as it is too much
// for one transaction (*ErrTooLarge): how much that is depends on the etcd. It ends with the first other error; what was
// done before stays done.
func InParts[T any](items []T, size int, do func(part []T) error) error {
	for part := range slices.Chunk(items, max(size, 1)) {
		err := do(part)
		if large := (*ErrTooLarge)(nil); errors.As(err, &large) && len(part) > 1 {
			err = InParts(part, (len(part)+1)/2, do)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

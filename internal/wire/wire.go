// Package wire reads bytes from outside in network byte order with every access checked, so that a decoder
// reads straight down and looks at one error at the end. It is not a codec framework: no reflection, no
// state beyond a position, no allocation.
package wire

import (
	"encoding/binary"
	"errors"
)

// ErrShort says that a read went past the end of the input.
var ErrShort = errors.New("input ends too early")

// Reader reads a byte slice front to back. After the first read past the end every read gives zero
// values and Err stays ErrShort. Slices that it returns alias the input.
type Reader struct {
	b   []byte
	off int
	err error
}

// NewReader starts at the first byte of b.
func NewReader(b []byte) Reader { return Reader{b: b} }

// take gives the next n bytes, nil when they are not there.
func (r *Reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > len(r.b)-r.off {
		r.err = ErrShort
		return nil
	}
	p := r.b[r.off : r.off+n : r.off+n]
	r.off += n
	return p
}

// Uint8 reads one byte.
func (r *Reader) Uint8() uint8 {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

// Uint16 reads two bytes, most significant first.
func (r *Reader) Uint16() uint16 {
	if p := r.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

// Uint32 reads four bytes, most significant first.
func (r *Reader) Uint32() uint32 {
	if p := r.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

// Bytes reads n bytes; the result aliases the input and is nil on error.
func (r *Reader) Bytes(n int) []byte { return r.take(n) }

// Copy fills each slice in turn. None is written partly.
func (r *Reader) Copy(dst ...[]byte) {
	for _, d := range dst {
		if p := r.take(len(d)); p != nil {
			copy(d, p)
		}
	}
}

// Skip passes over n bytes.
func (r *Reader) Skip(n int) { r.take(n) }

// Offset is how many bytes were read so far.
func (r *Reader) Offset() int { return r.off }

// Len is how many bytes are left, zero after an error.
func (r *Reader) Len() int {
	if r.err != nil {
		return 0
	}
	return len(r.b) - r.off
}

// Rest gives what is left and ends the reading.
func (r *Reader) Rest() []byte { return r.take(r.Len()) }

// Err is ErrShort if any read went past the end.
func (r *Reader) Err() error { return r.err }

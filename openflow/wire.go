package openflow

import (
	"encoding/binary"
	"fmt"
)

// DecodeError says what could not be decoded and why.
type DecodeError struct {
	Type   string // what was being decoded: a message type, "match", "actions", "instructions"
	Offset int    // octet offset from the start of Type at which decoding stopped
	Want   string // what was expected there
}

// Error returns one line: type, offset, expectation.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("openflow: %s: at octet %d: %s", e.Type, e.Offset, e.Want)
}

// reader walks over bytes from outside. It never reads past its end: after the first short read or fail
// every further read returns zero and err stays set, so that a decoder reads straight down and looks at
// err once. Big-endian, as everything in OpenFlow.
type reader struct {
	typ   string // named in errors
	b     []byte
	off   int
	base  int // offset of b[0] from the start of the outermost buffer, for errors
	err   error
	depth int // nesting of actions
}

// newReader returns a reader over b; typ names it in errors.
func newReader(typ string, b []byte) reader { return reader{typ: typ, b: b} }

// fail records the first error; later ones are dropped.
func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = &DecodeError{Type: r.typ, Offset: r.base + r.off, Want: fmt.Sprintf(format, args...)}
		r.off = len(r.b)
	}
}

// failBack is fail for something n octets back.
func (r *reader) failBack(n int, format string, args ...any) {
	if r.err == nil {
		r.off -= n
		r.fail(format, args...)
	}
}

// adopt makes an error of a reader over a part of r its own.
func (r *reader) adopt(err error) {
	if r.err == nil && err != nil {
		r.err, r.off = err, len(r.b)
	}
}

// take returns the next n octets, aliasing the buffer, or nil.
func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b)-r.off {
		r.fail("want %d more octets, have %d", n, len(r.b)-r.off)
		return nil
	}
	p := r.b[r.off : r.off+n : r.off+n]
	r.off += n
	return p
}

// left returns the number of octets not read yet.
func (r *reader) left() int { return len(r.b) - r.off }

// skip passes over n octets (padding; the specification wants it ignored).
func (r *reader) skip(n int) { r.take(n) }

// u8 reads one octet.
func (r *reader) u8() uint8 {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

// u16 reads two octets.
func (r *reader) u16() uint16 {
	if p := r.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

// u32 reads four octets.
func (r *reader) u32() uint32 {
	if p := r.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

// u64 reads eight octets.
func (r *reader) u64() uint64 {
	if p := r.take(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

// rest returns everything not read yet, aliasing the buffer.
func (r *reader) rest() []byte { return r.take(r.left()) }

// sub returns a reader over the next n octets and passes over them. Its errors carry offsets of r's buffer.
// When fewer are left, r fails and the result is an empty reader with the same error.
func (r *reader) sub(n int) reader {
	base := r.base + r.off
	return reader{typ: r.typ, b: r.take(n), base: base, err: r.err}
}

// pad8 returns n rounded up to a multiple of 8.
func pad8(n int) int { return (n + 7) &^ 7 }

// appendZeros appends n zero octets, n up to 64.
func appendZeros(b []byte, n int) []byte {
	var z [64]byte
	return append(b, z[:n]...)
}

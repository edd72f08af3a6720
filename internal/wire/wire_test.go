package wire

import (
	"errors"
	"testing"
)

func TestReader(t *testing.T) {
	in := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	r := NewReader(in)
	var a, b [2]byte
	if r.Uint8() != 1 || r.Uint16() != 0x0203 || r.Uint32() != 0x04050607 {
		t.Fatal("numbers are read wrongly")
	}
	r.Copy(a[:], b[:1])
	if a != [2]byte{8, 9} || b[0] != 10 || r.Offset() != 10 || r.Len() != 2 {
		t.Fatalf("copied %v %v, offset %d, left %d", a, b, r.Offset(), r.Len())
	}
	if rest := r.Rest(); len(rest) != 2 || cap(rest) != 2 || rest[1] != 12 || r.Err() != nil {
		t.Fatalf("rest %v, error %v", rest, r.Err())
	}
}

func TestReaderShort(t *testing.T) {
	for name, read := range map[string]func(*Reader){
		"uint8 at end":   func(r *Reader) { r.Skip(3); r.Uint8() },
		"uint16 half":    func(r *Reader) { r.Skip(2); r.Uint16() },
		"uint32":         func(r *Reader) { r.Uint32() },
		"bytes":          func(r *Reader) { r.Bytes(4) },
		"negative":       func(r *Reader) { r.Skip(-1) },
		"copy":           func(r *Reader) { var b [4]byte; r.Copy(b[:]) },
		"error persists": func(r *Reader) { r.Skip(9); r.Uint8() },
	} {
		r := NewReader([]byte{1, 2, 3})
		read(&r)
		if !errors.Is(r.Err(), ErrShort) {
			t.Errorf("%s: error %v", name, r.Err())
		}
		if r.Uint8() != 0 || r.Bytes(0) != nil || r.Len() != 0 || r.Rest() != nil {
			t.Errorf("%s: reads give something after the error", name)
		}
	}
}

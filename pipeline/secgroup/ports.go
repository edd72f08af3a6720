package secgroup

import "math/bits"

// mask matches 16-bit numbers with some bits given.
type mask struct{ value, mask uint16 }

// portMasks covers the numbers from lo to hi, both included, with the fewest masks that there can be.
func portMasks(lo, hi int) (out []mask) {
	for lo <= hi {
		// The largest aligned block that begins here and does not go beyond the end.
		size := 1 << 16
		if lo != 0 {
			size = 1 << bits.TrailingZeros(uint(lo))
		}
		for lo+size-1 > hi {
			size /= 2
		}
		out = append(out, mask{uint16(lo), ^uint16(size - 1)})
		lo += size
	}
	return out
}

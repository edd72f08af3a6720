package ctl

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// progress shows one line about what is being waited for, on a terminal only, once it takes more than a second.
type progress struct {
	w     io.Writer
	after time.Duration
}

// terminal tells whether w is one; /dev/null, a character device too, is not.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// begin says what is being waited for; done wipes the line.
func (p progress) begin(what string) (done func()) {
	stop, gone := make(chan struct{}), make(chan struct{})
	start := time.Now()
	go func() {
		defer close(gone)
		t := time.NewTimer(p.after)
		defer t.Stop()
		width := 0
		for {
			select {
			case <-stop:
				if width > 0 {
					fmt.Fprint(p.w, "\r"+strings.Repeat(" ", width)+"\r")
				}
				return
			case <-t.C:
				line := fmt.Sprintf("waiting for penstockd: %s, %d s", what, int(time.Since(start)/time.Second))
				width = max(width, len(line))
				fmt.Fprint(p.w, "\r"+line)
				t.Reset(time.Second)
			}
		}
	}()
	var once sync.Once
	return func() { once.Do(func() { close(stop); <-gone }) }
}

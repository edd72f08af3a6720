package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// epollPwait2 is epoll_wait with a timeout in nanoseconds (Linux 5.11), which package unix does not have.
func epollPwait2(fd int, ev []unix.EpollEvent, d *unix.Timespec) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(fd), uintptr(unsafe.Pointer(&ev[0])), uintptr(len(ev)), uintptr(unsafe.Pointer(d)), 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

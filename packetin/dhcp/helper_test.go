package dhcp

import (
	"time"

	"github.com/gopacket/gopacket"
)

// payload is bytes as a gopacket layer.
type payload = gopacket.Payload

// LeaseTime is the lease time, zero if there is none.
func (a *answer) LeaseTime() time.Duration { return a.IPAddressLeaseTime(0) }

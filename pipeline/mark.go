package pipeline

// A packet carries its network between br-int and br-tun, and from br-int to a mapped bridge, in pkt_mark, the only field
// beside the packet itself that outlives a patch port: bits 24–30 the encapsulation, bits 0–23 the segmentation id, and
// bit 31 when the packet is to be replicated. What a mapped bridge sends has its VLAN tag, which says it all: a mark on
// a packet of a VIF or of a physical port is never read.

// The encapsulations of a mark.
const (
	EncapVXLAN    = 1
	EncapGRE      = 2
	EncapProvider = 3 // segmentation id: the VLAN, 0 for flat; the patch port says which physical network
)

// MarkReplicate is set in the mark of a packet to br-tun that goes to every host of its network.
const MarkReplicate = 1 << 31

// Mark builds a mark.
func Mark(encap uint8, id uint32) uint32 { return uint32(encap)<<24 | id&0xffffff }

// Away is the OutPort of a packet to a learned address that is behind the network's carrier. No port has this key.
const Away = 0xffffffff

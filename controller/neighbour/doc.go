// Package neighbour finds out the MAC addresses of routers' next hops that no port of the store has: of machines outside,
// and of addresses behind ports that may have several. It keeps the packets that wait for one, asks by ARP, sends the
// packets on when the answer comes, and gives them back when none does. It refreshes what traffic uses before it is too
// old, and lets go what nothing uses.
//
// What was found out lives in the switch, one flow each (pipeline/l3.Learned), so that forwarding needs no controller once
// it has begun, and a restart loses nothing. An answer counts only where a question was asked; another claim to a known
// address only has its owner asked again, who is right as long as he answers.
//
//	          packet                 answer                      refresh, other claim
//	unknown ─────────▶ asking ×3 ─────────────▶ known ◀──────────────────▶ asking its MAC, then all ×2
//	   ▲                   │ silence                 │ unused: the switch forgets      │ silence
//	   └───────────────────┴─────────────────────────┴──────────────────────────────────┘
//
// The package reads no clock: Run passes the time in, tests their own.
package neighbour

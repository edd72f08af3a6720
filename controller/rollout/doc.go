// Package rollout owns one host's order of changes: a change that touches several bridges is made before it is
// broken. Additions on br-tun and the mapped bridges come first, then br-int switches over in one bundle, then
// removals elsewhere; each step waits for the barrier of the one before, and what arrives meanwhile coalesces.
package rollout

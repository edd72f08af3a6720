// Package session speaks to one bridge: it reads what is installed, compares it with what is desired, and
// sends the difference. It knows flows, groups and meters, never the objects behind them.
package session

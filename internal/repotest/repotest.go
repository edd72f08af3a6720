// Package repotest holds the rules that the whole repository keeps, as tests: who may import whom, what is
// documented, how long files and interfaces may be. It has no code of its own.
package repotest

// Package pipeline declares the tables, rules, registers and ids of the three bridges and gives derive
// functions what they need to turn a snapshot into flows, groups and meters.
//
// Everything is said once, in the declarations: the flow-dump annotator, docs/pipeline.md and the checks in
// the tests all read them. Deriving is pure: no clock, no I/O, no state here. The functions themselves are in
// the subpackages (l2, …); keeping switches equal to what they derive is package controller's.
package pipeline

//go:generate go test ./l2 -run ^(TestScenarios|TestDocument)$ -update

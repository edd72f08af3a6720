package main

import (
	"testing"

	"github.com/penstock/penstock/openflow"
)

// TestTheSameWork makes sure that both libraries do the same work: what is measured would be worth nothing else.
func TestTheSameWork(t *testing.T) {
	theirs, err := libFlowMod()
	if err != nil {
		t.Fatal(err)
	}
	if err := same(buildFlowMod(), theirs.MarshalBinary); err != nil {
		t.Error(err)
	}
	msgs, err := flowStats()
	if err != nil {
		t.Fatal(err)
	}
	ours, libs := 0, 0
	for _, b := range msgs {
		m, err := openflow.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range m.(*openflow.MultipartReply).Flows() {
			if err != nil {
				t.Fatal(err)
			}
			ours++
		}
		n, err := libDecode(b)
		if err != nil {
			t.Fatal(err)
		}
		libs += n
	}
	if ours != dumpFlows || libs != dumpFlows {
		t.Errorf("of %d flows we decode %d, libOpenflow %d", dumpFlows, ours, libs)
	}
	if _, err := libDecode(packetIn()); err != nil {
		t.Error(err)
	}
}

// Command peerbench measures package openflow beside github.com/contiv/libOpenflow in the same run, and prints
// one line of JSON: nanoseconds for each, and how many times faster package openflow is. It is a module of its own,
// so that libOpenflow is not in Penstock's go.mod.
//
//	cd openflow/peerbench && go run .
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/penstock/penstock/openflow"
	"github.com/sirupsen/logrus"
)

// flowText is the flow of the encoding benchmark: 6 matches, 5 actions, one of them ct with nat.
const flowText = "table=20, priority=100,ct_state=+est+trk,tcp,reg6=0x1234,in_port=5,nw_dst=10.1.2.0/24 actions=set_field:fa:16:3e:00:00:01->eth_src," +
	"set_field:fa:16:3e:00:00:02->eth_dst,dec_ttl,load:0x9->NXM_NX_REG7[0..15],ct(commit,table=30,zone=77,nat(src=203.0.113.9))"

// dumpFlows is how many flows the flow-stats reply has.
const dumpFlows = 50_000

// result is one comparison.
type result struct {
	OursNs      float64 `json:"ours_ns"`
	TheirsNs    float64 `json:"libopenflow_ns"`
	Times       float64 `json:"times_faster"`
	OursAllocs  int64   `json:"ours_allocs"`
	TheirAllocs int64   `json:"libopenflow_allocs"`
	OursPerSec  float64 `json:"ours_per_second"`
}

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "peerbench:", err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	logrus.SetLevel(logrus.ErrorLevel) // libOpenflow logs at debug level in its encoders
	flow, err := openflow.ParseFlow(flowText)
	if err != nil {
		return err
	}
	flow.Cookie = 0x1122
	ours := &openflow.FlowMod{Flow: flow}
	theirs, err := libFlowMod()
	if err != nil {
		return err
	}
	if err := same(ours, theirs.MarshalBinary); err != nil {
		return err
	}
	out := map[string]any{"benchmark": "openflow", "libopenflow": "v0.0.0-20210609050114-d967b14cc688", "flow_stats_flows": dumpFlows}
	buf := make([]byte, 0, 4096)
	out["encode_flow_mod"] = compare(1, func(n int) error {
		for range n {
			buf = ours.AppendTo(buf[:0])
		}
		return nil
	}, func(n int) error {
		for range n {
			if _, err := theirs.MarshalBinary(); err != nil {
				return err
			}
		}
		return nil
	})
	out["build_and_encode_flow_mod"] = compare(1, func(n int) error {
		for range n {
			buf = buildFlowMod().AppendTo(buf[:0])
		}
		return nil
	}, func(n int) error {
		for range n {
			f, err := libFlowMod()
			if err != nil {
				return err
			}
			if _, err := f.MarshalBinary(); err != nil {
				return err
			}
		}
		return nil
	})
	if err := same(buildFlowMod(), theirs.MarshalBinary); err != nil {
		return fmt.Errorf("built: %w", err)
	}

	dump, err := flowStats()
	if err != nil {
		return err
	}
	out["decode_flow_stats"] = compare(dumpFlows, func(n int) error {
		for range n {
			count := 0
			for _, b := range dump {
				m, err := openflow.Decode(b)
				if err != nil {
					return err
				}
				for _, err := range m.(*openflow.MultipartReply).Flows() {
					if err != nil {
						return err
					}
					count++
				}
			}
			if count != dumpFlows {
				return fmt.Errorf("we decode %d flows", count)
			}
		}
		return nil
	}, func(n int) error {
		for range n {
			count := 0
			for _, b := range dump {
				k, err := libDecode(b)
				if err != nil {
					return err
				}
				count += k
			}
			if count != dumpFlows {
				return fmt.Errorf("libOpenflow decodes %d flows", count)
			}
		}
		return nil
	})
	pin := packetIn()
	out["decode_packet_in"] = compare(1, func(n int) error {
		for range n {
			m, err := openflow.Decode(pin)
			if err != nil {
				return err
			}
			if _, err := m.(*openflow.PacketIn).Match(); err != nil {
				return err
			}
		}
		return nil
	}, func(n int) error {
		for range n {
			if _, err := libDecode(pin); err != nil {
				return err
			}
		}
		return nil
	})
	if failure != nil {
		return failure
	}
	return json.NewEncoder(w).Encode(out)
}

var failure error // the first error of a benchmark's function

// compare runs both functions three times in turn and takes the best of each; per is how many things one run handles.
func compare(per int, ours, theirs func(n int) error) result {
	one := func(f func(n int) error) (ns float64, allocs int64) {
		r := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			if err := f(b.N); err != nil && failure == nil {
				failure = err
			}
		})
		return float64(r.T.Nanoseconds()) / float64(r.N) / float64(per), r.AllocsPerOp() / int64(per)
	}
	best := result{}
	for range 3 {
		if ns, allocs := one(ours); best.OursNs == 0 || ns < best.OursNs {
			best.OursNs, best.OursAllocs = ns, allocs
		}
		if ns, allocs := one(theirs); best.TheirsNs == 0 || ns < best.TheirsNs {
			best.TheirsNs, best.TheirAllocs = ns, allocs
		}
	}
	best.Times = float64(int(best.TheirsNs/best.OursNs*10)) / 10
	best.OursPerSec = float64(int(1e9 / best.OursNs))
	return best
}

// same checks that both libraries encode the same flow.
func same(ours *openflow.FlowMod, theirs func() ([]byte, error)) error {
	b, err := theirs()
	if err != nil {
		return err
	}
	m, err := openflow.Decode(b)
	if err != nil {
		return err
	}
	if got, want := m.(*openflow.FlowMod).String(), ours.String(); got != want {
		return fmt.Errorf("the flows differ:\n libOpenflow %s\n ours        %s", got, want)
	}
	return nil
}

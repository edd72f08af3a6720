package l2_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/pipeline"
)

const document = "../../docs/pipeline.md"

// TestDocument holds docs/pipeline.md to the declarations, and every rule to having a flow in some scenario.
func TestDocument(t *testing.T) {
	ex := examples(t)
	for _, tb := range pipeline.Tables() {
		for _, r := range tb.Rules() {
			if ex[r.Num] == "" {
				t.Errorf("no scenario has a flow of rule %d of %s: %s", r.Num, tb, r.Doc)
			}
		}
	}
	var b strings.Builder
	if err := pipeline.WriteDoc(&b, ex); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(document, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	old, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(old), b.String()); d != "" {
		t.Errorf("docs/pipeline.md is stale, make docs rewrites it:\n%s", d)
	}
}

var (
	ruleRE  = regexp.MustCompile(` # rule (\d+)(, .*)?$`)
	learnRE = regexp.MustCompile(`cookie=(0x[0-9a-f]+)`)
)

// examples is the first flow of each rule in the scenarios; of learned flows the action that writes them.
func examples(t *testing.T) map[uint16]string {
	ex := map[uint16]string{}
	note := func(line string) {
		m := ruleRE.FindStringSubmatch(line)
		if m == nil {
			return
		}
		n, _ := strconv.ParseUint(m[1], 10, 16)
		if line = strings.TrimSuffix(line, m[0]); len(line) > 600 {
			line = line[:600] + " …"
		}
		if ex[uint16(n)] == "" {
			ex[uint16(n)] = line
		}
		if _, learn, ok := strings.Cut(line, "learn("); ok {
			c, _ := strconv.ParseUint(learnRE.FindStringSubmatch(learn)[1], 0, 64)
			if r := pipeline.Cookie(c).Rule(); ex[r] == "" {
				ex[r] = fmt.Sprintf("# written by rule %d", n)
			}
		}
	}
	for _, path := range scenarios(t) {
		a, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Files {
			for _, l := range strings.Split(string(f.Data), "\n") {
				note(strings.TrimPrefix(l, "+ "))
			}
		}
	}
	foundOut(ex)
	// A network on more hosts than a scenario should have.
	w, e := newWorld(t), newEngine()
	changes := []model.Change{overlayRow(1, model.NetworkVXLAN, 10)}
	for i := 1; i <= 70; i++ {
		changes = append(append(changes, hostRow(i)), bind(uint32(i), "n1", model.HostName(fmt.Sprintf("h%d", i)))...)
	}
	e.apply(changes...)
	for _, f := range sorted(maps.Collect(e.Desired("h1", pipeline.BrTun).Flows.All())) {
		note(flowLine(w, &f))
	}
	// A network with more members on a host than one pass copies to.
	big := newEngine()
	changes = []model.Change{overlayRow(1, model.NetworkVXLAN, 10), hostRow(1)}
	for i := uint32(1); i <= 13; i++ {
		rows := bind(i, "n1", "h1")
		rows[1].New.(*model.Binding).Member = i * model.LeafSize
		changes = append(changes, rows...)
	}
	big.apply(changes...)
	checkFlows(t, big)
	for _, f := range sorted(maps.Collect(big.Desired("h1", pipeline.BrInt).Flows.All())) {
		note(flowLine(w, &f))
	}
	return ex
}

package l2_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/penstock/penstock/controller/derive"
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/pipeline"
)

var update = flag.Bool("update", false, "rewrite the golden files and docs/pipeline.md")

const scenarioDir = "../../testdata/l2"

// TestScenarios derives what each scenario's objects mean. A scenario is a txtar of input files, state.yaml first and then
// "step NAME" each with what changes, and of what comes of them: the flows and groups of every bridge after state.yaml,
// what each step changes, and how much work it was.
func TestScenarios(t *testing.T) {
	for _, path := range scenarios(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := txtar.Format(run(t, txtar.Parse(text)))
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(text), string(got)); d != "" {
				t.Errorf("differs from %s (go test ./pipeline/l2 -update rewrites it):\n%s", path, d)
			}
		})
	}
}

func scenarios(t testing.TB) []string {
	paths, err := filepath.Glob(scenarioDir + "/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scenarios in %s: %v", scenarioDir, err)
	}
	return paths
}

// run gives the scenario with its output brought up to date.
func run(t *testing.T, in *txtar.Archive) *txtar.Archive {
	out := &txtar.Archive{Comment: in.Comment}
	section := func(name string, lines []string) {
		out.Files = append(out.Files, txtar.File{Name: name, Data: []byte(strings.Join(lines, "\n") + "\n")})
	}
	w, e := newWorld(t), newEngine()
	var work, removed []string
	var shown map[string][]string
	for _, f := range in.Files {
		if f.Name != "state.yaml" && !strings.HasPrefix(f.Name, "step ") {
			continue
		}
		out.Files = append(out.Files, f)
		changes := w.step(f.Data)
		before := e.Stats().Derived
		delta := e.apply(changes...)
		checkFlows(t, e)
		now := e.render(w)
		if f.Name == "state.yaml" {
			for _, at := range slices.Sorted(maps.Keys(now)) {
				section(at, now[at])
			}
		} else {
			for _, at := range slices.Sorted(maps.Keys(union(shown, now))) {
				if lines := changed(shown[at], now[at]); len(lines) > 0 {
					section(strings.TrimPrefix(f.Name, "step ")+": "+at, lines)
				}
			}
		}
		shown = now
		work = append(work, fmt.Sprintf("%s: derived=%d sent %s", f.Name, e.Stats().Derived-before, sent(delta)))
		s := e.Stats()
		for u, err := range s.Errors {
			t.Errorf("%s: %s: %v", f.Name, u, err)
		}
		if s.Conflicts != 0 {
			t.Errorf("%s: %d matches are made by two units", f.Name, s.Conflicts)
		}
		attack(t, f.Name, w, e)
		removed = append(removed, forgotten(delta)...)
	}
	section("work", append(work, removed...))
	return out
}

func union(a, b map[string][]string) map[string][]string {
	out := maps.Clone(b)
	maps.Copy(out, a)
	return out
}

// changed is the difference of two lists of lines, - and + before each.
func changed(old, now []string) (out []string) {
	for _, l := range old {
		if !slices.Contains(now, l) {
			out = append(out, "- "+l)
		}
	}
	for _, l := range now {
		if !slices.Contains(old, l) {
			out = append(out, "+ "+l)
		}
	}
	return out
}

// sent counts what a delta sends to each bridge.
func sent(d *derive.Delta) string {
	var out []string
	for _, b := range d.Bridges {
		n := len(b.Set) + len(b.Del)
		g := len(b.SetGroups) + len(b.DelGroups)
		m := len(b.SetMeters) + len(b.DelMeters)
		out = append(out, fmt.Sprintf("%s/%s flows=%d groups=%d meters=%d", b.Host, b.Bridge, n, g, m))
	}
	slices.Sort(out)
	if out == nil {
		return "nothing"
	}
	return strings.Join(out, ", ")
}

// forgotten lists the learned facts that go.
func forgotten(d *derive.Delta) (out []string) {
	for _, b := range d.Bridges {
		for _, h := range b.Forget {
			out = append(out, fmt.Sprintf("forget %s/%s table=%d cookie=%#x", b.Host, b.Bridge, h.Table, uint64(h.Cookie)))
		}
	}
	slices.Sort(out)
	return out
}

// checkFlows holds every flow against the declarations.
func checkFlows(t testing.TB, e *engine) {
	t.Helper()
	for _, h := range e.hosts() {
		for _, br := range e.Bridges(h) {
			for _, f := range e.Desired(h, br).Flows.All() {
				if err := pipeline.CheckFlow(roleOf(br), &f); err != nil {
					t.Errorf("%s/%s: %v", h, br, err)
				}
			}
		}
	}
}

// attack comes to the same state in other ways, and from it down to nothing: what is desired never depends on how.
func attack(t *testing.T, step string, w *world, e *engine) {
	t.Helper()
	all := w.all()
	scratch := newEngine()
	scratch.apply(all...)
	same(t, step+": incremental and from scratch", e, scratch)
	for what, order := range map[string][]model.Change{"forward": all, "reversed": reversed(all)} {
		single := newEngine()
		for _, c := range order {
			single.apply(c)
			again := c
			again.Old = c.New
			if d := single.apply(again); len(d.Bridges) > 0 {
				t.Errorf("%s, %s: writing %s %s again changes %d bridges", step, what, c.Table.Name, c.ID(), len(d.Bridges))
			}
		}
		same(t, step+": one at a time, "+what, e, single)
		for _, c := range order {
			single.apply(model.Change{Table: c.Table, Old: c.New})
			checkFlows(t, single)
		}
		if units, flows := single.Counts(); units != 1 || flows != 0 {
			t.Errorf("%s: down to nothing, %s: %d units and %d flows are left", step, what, units, flows)
		}
	}
}

func reversed(c []model.Change) []model.Change {
	out := slices.Clone(c)
	slices.Reverse(out)
	return out
}

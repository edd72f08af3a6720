package api

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock/penstock/model"
)

// bodies gives the request bodies of the scenarios as seeds.
func bodies(f *testing.F) {
	files, err := filepath.Glob("testdata/cases/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, l := range strings.Split(string(b), "\n") {
			if i := strings.Index(l, " {"); i > 0 {
				f.Add([]byte(strings.ReplaceAll(l[i+1:], "${", "")))
			}
		}
	}
}

// FuzzBody decodes and validates any bytes as the body of every resource: an error or values, never a panic.
func FuzzBody(f *testing.F) {
	bodies(f)
	c := &call{s: &Server{}, who: &Identity{ProjectID: "p", Roles: []string{"admin"}}}
	f.Fuzz(func(t *testing.T, b []byte) {
		body, err := decodeObject(b)
		if err != nil {
			return
		}
		for _, r := range declare() {
			for _, create := range []bool{true, false} {
				items, _, err := c.items(r, body, create)
				if err != nil {
					if err.Status < 400 || err.Type == "" {
						t.Fatalf("%s: error %+v", r.Name, err)
					}
					continue
				}
				for _, in := range items { // what was validated can be set
					o := r.New()
					c.set(r, o, in)
					if create && r == ruleResource {
						_ = readRule(o.(*model.SecurityGroupRule), in)
					}
				}
			}
		}
	})
}

// FuzzQuery parses any query string for every resource.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"name=a&name=b&fields=id", "limit=5&marker=x&page_reverse=True", "sort_key=name&sort_dir=asc", "fixed_ips=ip_address=10.0.0.1",
		"tags-any=a,b&not-tags=c", "%zz=%", "a=%00&&=", "mtu=1e9&admin_state_up=yes", "limit=99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range declare() {
			q, err := parseQuery(r, parsePairs(s))
			if err == nil && (q.limit < 0 || len(q.filters) > len(s)+1) {
				t.Fatalf("%s: %+v", r.Name, q)
			}
		}
	})
}

// Package apidiff replays lists of requests on a Networking API server and makes the answers comparable, so that
// ours and neutron-server's can be held side by side. It is for tests and knows neither server.
package apidiff

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"sort"
	"strings"
)

// Case is one request of a scenario.
type Case struct {
	Line   int
	Text   string            // as it stands in the file
	Save   map[string]string // variable -> path into the answer, such as network.id
	As     string            // project:role,role; empty: an admin of the scenario's project
	Header http.Header
	Method string
	Path   string // with ${variables}, from /v2.0 on
	Body   string // JSON, with ${variables}; empty: none
	// Ours says that our answer differs from the reference's on purpose: the reason. Only the status is compared then
	// if it starts with "body:", nothing otherwise.
	Ours string
}

// Parse reads a scenario: one request a line, "[var=path]… [as=project:role] [header=Name:Value] [ours=reason_words]
// METHOD PATH [BODY]"; # begins a comment line, and a line that begins with blanks continues the one before.
func Parse(r io.Reader) ([]Case, error) {
	var out []Case
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	var lines []string
	var numbers []int
	for n := 1; sc.Scan(); n++ {
		l := sc.Text()
		switch {
		case strings.TrimSpace(l) == "" || strings.HasPrefix(l, "#"):
		case l[0] == ' ' || l[0] == '\t':
			if len(lines) == 0 {
				return nil, fmt.Errorf("line %d continues nothing", n)
			}
			lines[len(lines)-1] += " " + strings.TrimSpace(l)
		default:
			lines, numbers = append(lines, l), append(numbers, n)
		}
	}
	if err := sc.Err(); err != nil {
		return nil, err
	}
	for i, l := range lines {
		c := Case{Line: numbers[i], Text: l, Save: map[string]string{}, Header: http.Header{}}
		rest := l
		for c.Method == "" {
			var word string
			word, rest, _ = strings.Cut(rest, " ")
			k, v, opt := strings.Cut(word, "=")
			switch {
			case !opt:
				c.Method = word
			case k == "as":
				c.As = v
			case k == "header":
				name, value, _ := strings.Cut(v, ":")
				c.Header.Add(name, value)
			case k == "ours":
				c.Ours = strings.ReplaceAll(v, "_", " ")
			default:
				c.Save[k] = v
			}
			if word == "" && rest == "" {
				return nil, fmt.Errorf("line %d: no method", c.Line)
			}
		}
		c.Path, c.Body, _ = strings.Cut(rest, " ")
		out = append(out, c)
	}
	return out, nil
}

// Answer is what a server said, made comparable.
type Answer struct {
	Status int
	Body   string // indented JSON with random parts replaced, or the text if it is no JSON
}

// String is the recorded form.
func (a Answer) String() string { return fmt.Sprintf("%d %s", a.Status, a.Body) }

// Runner replays one scenario on one server.
type Runner struct {
	Base    string // such as http://127.0.0.1:9696
	Project string // the scenario's
	Client  *http.Client
	// Drop lists attributes to leave out of every object of an answer, by resource name ("port": …).
	Drop map[string][]string

	vars  map[string]string // name -> value
	names map[string]string // value -> name
	sent  string            // everything that the scenario sent so far
}

var variable = regexp.MustCompile(`\$\{([^}]+)\}`)

func (r *Runner) expand(s string) string {
	return variable.ReplaceAllStringFunc(s, func(m string) string {
		name := m[2 : len(m)-1]
		if name == "project" {
			return r.Project
		}
		if v, ok := r.vars[name]; ok {
			return v
		}
		return "unset-" + name
	})
}

// Do sends one case's request.
func (r *Runner) Do(c Case) (Answer, error) {
	if r.vars == nil {
		r.vars, r.names = map[string]string{}, map[string]string{}
	}
	path, body := r.expand(c.Path), r.expand(c.Body)
	r.sent += " " + path + " " + body
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	req, err := http.NewRequest(c.Method, r.Base+path, rd)
	if err != nil {
		return Answer{}, err
	}
	project, roles := r.Project, "admin,member,reader"
	if c.As != "" {
		p, ro, _ := strings.Cut(c.As, ":")
		project, roles = r.expand(p), ro
	}
	req.Header.Set("X-User-Id", "u-"+project)
	req.Header.Set("X-Project-Id", project)
	req.Header.Set("X-Roles", roles)
	req.Header.Set("Accept", "application/json")
	if rd != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range c.Header {
		req.Header[k] = []string{r.expand(v[0])}
	}
	resp, err := r.Client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Status: resp.StatusCode}
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if len(raw) == 0 || d.Decode(&v) != nil {
		a.Body = strings.TrimSpace(string(raw))
		if strings.HasPrefix(a.Body, "<html>") || resp.Header.Get("Content-Type") != "application/json" && len(raw) > 0 {
			a.Body = "(not JSON)"
		}
		return a, nil
	}
	for _, name := range sorted(c.Save) {
		if s, ok := lookup(v, c.Save[name]); ok {
			r.vars[name], r.names[s] = s, name
		}
	}
	v = r.normal(v, "", "")
	if m, ok := v.(map[string]any); ok { // lists of resources come in the order of their random ids
		for k, l := range m {
			if l, ok := l.([]any); ok && k != "tags" && !strings.Contains(path, "sort_key") {
				sortValues(l)
			}
		}
	}
	enc, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return Answer{}, err
	}
	a.Body = strings.ReplaceAll(string(enc), r.Base, "http://server")
	return a, nil
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func lookup(v any, path string) (string, bool) {
	for _, p := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[p]
		case []any:
			var i int
			if _, err := fmt.Sscan(p, &i); err != nil || i < 0 || i >= len(x) {
				return "", false
			}
			v = x[i]
		default:
			return "", false
		}
	}
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	}
	return "", false
}

var (
	uuids   = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	stamps  = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\dZ?`)
	macs    = regexp.MustCompile(`fa:16:3e(:[0-9a-f]{2}){3}`)
	address = regexp.MustCompile(`^[0-9a-f.:]+$`)
	sets    = regexp.MustCompile(`\{'[^{}:]*'\}`)
	// Lists in the texts of errors that the reference makes of sets or of rows in no order.
	listed   = regexp.MustCompile(`(network attributes|still attached|for these ports is): ([^,.]+(?:, ?[^,.]+)+)`)
	dicts    = regexp.MustCompile(`\[(\{[^{}]*\}(?:, \{[^{}]*\})+)\]`)
	word     = regexp.MustCompile(`[^, ]+`)
	dict     = regexp.MustCompile(`\{[^{}]*\}`)
	callback = regexp.MustCompile(`Callback [\w.]+-\d+ failed with "([^"]*)"(,Callback [\w.]+-\d+ failed with "[^"]*")*`)
	floating = regexp.MustCompile(`floating IP [0-9.]+ \(`)
	revision = regexp.MustCompile(`current revision is \d+$`)
)

// ordered sorts the items in the last group of a pattern.
func ordered(s string, re, item *regexp.Regexp) string {
	m := re.FindStringSubmatchIndex(s)
	if m == nil {
		return s
	}
	from, to := m[len(m)-2], m[len(m)-1]
	items := item.FindAllString(s[from:to], -1)
	sort.Strings(items)
	return s[:from] + strings.Join(items, ", ") + s[to:]
}

// plain takes the names of Python functions, which change from start to start, out of a text, and what is then said twice.
func plain(s string) string {
	m := callback.FindStringSubmatchIndex(s)
	if m == nil {
		return s
	}
	s = s[:m[0]] + s[m[2]:m[3]] + s[m[1]:]
	const input, details = "Invalid input for operation: ", "\nDetails: "
	s = strings.Replace(s, input+input, input, 1)
	if parts := strings.Split(s, details); len(parts) > 2 && parts[0] == parts[1] {
		s = strings.Join(parts[1:], details)
	}
	return s
}

// asked reports whether a request named an address as one to have.
func (r *Runner) asked(a string) bool {
	for _, form := range []string{`ip_address":"` + a + `"`, `gateway_ip":"` + a + `"`} {
		if strings.Contains(r.sent, form) {
			return true
		}
	}
	return false
}

// text replaces what is random in a string.
func (r *Runner) text(s, key string) string {
	if name, ok := r.names[s]; ok && len(s) > 8 {
		return "${" + name + "}"
	}
	s = uuids.ReplaceAllStringFunc(s, func(u string) string {
		if name, ok := r.names[u]; ok {
			return "${" + name + "}"
		}
		if strings.Contains(r.sent, u) {
			return u
		}
		return "<uuid>"
	})
	s = stamps.ReplaceAllString(s, "<time>")
	s = macs.ReplaceAllStringFunc(s, func(m string) string {
		if strings.Contains(strings.ToLower(r.sent), m) {
			return m
		}
		return "<mac>"
	})
	s = sets.ReplaceAllStringFunc(s, func(m string) string { // a Python set has no order
		parts := strings.Split(m[1:len(m)-1], ", ")
		sort.Strings(parts)
		return "{" + strings.Join(parts, ", ") + "}"
	})
	if key == "message" {
		s = plain(ordered(ordered(s, listed, word), dicts, dict))
		s = floating.ReplaceAllStringFunc(s, func(m string) string {
			if r.asked(strings.Fields(m)[2]) {
				return m
			}
			return "floating IP <ip> ("
		})
		s = revision.ReplaceAllString(s, "current revision is <n>") // counts database flushes, see Drop
	}
	switch key {
	case "ip_address", "fixed_ip_address", "floating_ip_address":
		if address.MatchString(s) && !r.asked(s) {
			return "<ip>"
		}
	case "hostname", "fqdn":
		if h, _, _ := strings.Cut(strings.TrimPrefix(s, "host-"), ".openstacklocal."); strings.HasPrefix(s, "host-") {
			v4, v6 := strings.ReplaceAll(h, "-", "."), strings.ReplaceAll(h, "-", ":")
			if !r.asked(v4) && !r.asked(v6) {
				return strings.Replace(s, h, "<ip>", 1)
			}
		}
	case "href":
		return s
	}
	return s
}

// normal walks an answer; name is the resource that an object is, key where a value stands.
func (r *Runner) normal(v any, name, key string) any {
	switch v := v.(type) {
	case map[string]any:
		if err, ok := v["NeutronError"].(map[string]any); ok && len(v) == 1 {
			return map[string]any{"NeutronError": r.normal(err, "", "")}
		}
		out := map[string]any{}
		for k, x := range v {
			if drop := r.Drop[name]; contains(drop, k) || k == "standard_attr_id" || k == "bound_drivers" { // a row number of the reference's
				continue
			}
			inner := name
			if name == "" {
				inner = strings.TrimSuffix(k, "s")
			}
			out[r.text(k, "")] = r.normal(x, inner, k)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = r.normal(x, name, key)
		}
		switch key {
		case "fixed_ips", "subnets", "security_groups", "dns_assignment", "host_routes", "security_group_rules", "allocation_pools",
			"allowed_address_pairs", "extra_dhcp_opts", "external_fixed_ips", "routes", "tags", "subnet_ip_availability", "rules", "addresses", "prefixes", "sub_ports":
			sortValues(out)
		}
		return out
	case string:
		return r.text(v, key)
	case json.Number:
		switch key {
		case "provider:segmentation_id":
			if !regexp.MustCompile(`segmentation_id("?:|=)` + v.String() + `\b`).MatchString(r.sent) {
				return "<id>"
			}
		}
		return v
	}
	return v
}

func contains(l []string, s string) bool {
	for _, x := range l {
		if x == s {
			return true
		}
	}
	return false
}

func sortValues(l []any) {
	keys := make(map[int]string, len(l))
	for i, x := range l {
		b, err := json.Marshal(x)
		if err != nil {
			return
		}
		keys[i] = string(b)
	}
	idx := make([]int, len(l))
	for i := range idx {
		idx[i] = i
	}
	sort.SliceStable(idx, func(a, b int) bool { return keys[idx[a]] < keys[idx[b]] })
	out := make([]any, len(l))
	for i, j := range idx {
		out[i] = l[j]
	}
	copy(l, out)
}

// Record writes answers beside their cases.
func Record(w io.Writer, cases []Case, answers []Answer) error {
	for i, c := range cases {
		if _, err := fmt.Fprintf(w, "> %s\n%s\n", c.Text, answers[i]); err != nil {
			return err
		}
	}
	return nil
}

// ReadRecord reads what Record wrote: answers by the text of their case and its how-manieth occurrence.
func ReadRecord(r io.Reader) (map[string]Answer, error) {
	out := map[string]Answer{}
	seen := map[string]int{}
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 16<<20)
	key := ""
	var buf []string
	flush := func() error {
		if key == "" {
			return nil
		}
		var a Answer
		text := strings.Join(buf, "\n")
		status, body, _ := strings.Cut(text, " ")
		if _, err := fmt.Sscan(status, &a.Status); err != nil {
			return fmt.Errorf("answer to %q: %w", key, err)
		}
		a.Body = body
		out[key] = a
		return nil
	}
	for sc.Scan() {
		if l, ok := strings.CutPrefix(sc.Text(), "> "); ok {
			if err := flush(); err != nil {
				return nil, err
			}
			key, buf = Key(l, seen[l]), nil
			seen[l]++
			continue
		}
		buf = append(buf, sc.Text())
	}
	if err := sc.Err(); err != nil {
		return nil, err
	}
	return out, flush()
}

// Key names the n-th case of a text.
func Key(text string, n int) string { return fmt.Sprintf("%s #%d", text, n) }

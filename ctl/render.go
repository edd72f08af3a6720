package ctl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// formats are the values of -o.
var formats = []string{"table", "json", "yaml", "value"}

// table is what people see: a header and aligned columns, without borders.
type table struct {
	header []string
	rows   [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write prints the table, columns two spaces apart, nothing after the last cell of a line.
func (t *table) write(w io.Writer) {
	width := make([]int, 0, 8)
	all := t.rows
	if t.header != nil {
		all = append([][]string{t.header}, t.rows...)
	}
	for _, row := range all {
		for i, c := range row {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	for _, row := range all {
		var b strings.Builder
		for i, c := range row {
			b.WriteString(c)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(c)+2))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}

// values prints the rows for scripts: cells apart by a tab, no header.
func (t *table) values(w io.Writer) {
	for _, row := range t.rows {
		for i, c := range row {
			if c == "-" {
				c = ""
			}
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, c)
		}
		fmt.Fprintln(w)
	}
}

// printable makes a text of outside one cell: no control characters, so that no name can move a terminal's cursor
// or end a line, and "-" for nothing.
func printable(s string) string {
	if s == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ', r >= 0x7f && r < 0xa0, r == utf8.RuneError, r == 0x2028, r == 0x2029, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return '?'
		}
		return r
	}, s)
}

// cell is a JSON value as people read it.
func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		return printable(v)
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case []any:
		parts := make([]string, len(v))
		for i, x := range v {
			parts[i] = cell(x)
		}
		if len(parts) == 0 {
			return "-"
		}
		sep := ", "
		if _, ok := v[0].(map[string]any); ok {
			sep = "; "
		}
		return strings.Join(parts, sep)
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for i, k := range keys {
			keys[i] = printable(k) + "=" + cell(v[k])
		}
		if len(keys) == 0 {
			return "-"
		}
		return strings.Join(keys, ",")
	}
	return printable(fmt.Sprint(v))
}

// encode prints a value that encoding/json can encode, for programs.
func encode(w io.Writer, format string, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	if format == "json" {
		var out bytes.Buffer
		if err := json.Indent(&out, b.Bytes(), "", "  "); err != nil {
			return fmt.Errorf("encode the answer: %w", err)
		}
		_, err := w.Write(out.Bytes())
		return err
	}
	d := json.NewDecoder(&b)
	d.UseNumber()
	n, err := yamlNode(d)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	y := yaml.NewEncoder(w)
	y.SetIndent(2)
	if err := y.Encode(n); err != nil {
		return err
	}
	return y.Close()
}

// yamlNode reads the next JSON value as YAML, keeping the order of its keys.
func yamlNode(d *json.Decoder) (*yaml.Node, error) {
	tok, err := d.Token()
	if err != nil {
		return nil, err
	}
	n := new(yaml.Node)
	delim, ok := tok.(json.Delim)
	if !ok {
		switch t := tok.(type) {
		case json.Number: // Encode would make a string of it
			n.Kind, n.Value = yaml.ScalarNode, t.String()
			return n, nil
		default:
			return n, n.Encode(t)
		}
	}
	if n.Kind = yaml.SequenceNode; delim == '{' {
		n.Kind = yaml.MappingNode
	}
	for d.More() {
		c, err := yamlNode(d)
		if err != nil {
			return nil, err
		}
		n.Content = append(n.Content, c)
	}
	if len(n.Content) == 0 {
		n.Style = yaml.FlowStyle // [] and {}, which block style cannot say
	}
	_, err = d.Token()
	return n, err
}

// keysInOrder are the keys of a JSON object in its own order.
func keysInOrder(raw json.RawMessage) []string {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	var keys []string
	for d.More() {
		k, err := d.Token()
		if err != nil {
			return keys
		}
		var skip json.RawMessage
		if d.Decode(&skip) != nil {
			return keys
		}
		if s, ok := k.(string); ok && !slices.Contains(keys, s) {
			keys = append(keys, s)
		}
	}
	return keys
}

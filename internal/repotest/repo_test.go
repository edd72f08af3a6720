package repotest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/penstock/penstock"

// rule says what the non-test files of a folder and the folders below it may import of this module, by folder.
// A folder may always import what is below itself and internal/wire and internal/log, except for leaves.
type rule struct {
	dir    string
	may    []string // folders of this module; "*" is all
	mayNot []string // folders, or packages of others
	leaf   bool
}

// impure is what a derivation must not know: with none of it, equal input gives equal output.
var impure = []string{"os", "time", "sync", "sync/atomic", "net/http", "math/rand", "math/rand/v2", "go.uber.org/zap"}

// rules: the longest dir that holds a package counts. docs/development.md says why; imports point one way.
var rules = []rule{
	{dir: "openflow", leaf: true},
	{dir: "model", leaf: true},
	{dir: "store", may: []string{"model"}},
	{dir: "pipeline", may: []string{"openflow", "model"}, mayNot: impure},
	{dir: "packetin", may: []string{"model"}},
	{dir: "ovsdb", may: []string{"model"}},
	{dir: "controller", may: []string{"opapi", "openflow", "model", "store", "pipeline", "packetin", "ovsdb"}},
	{dir: "controller/session", may: []string{"openflow", "pipeline", "controller/derive"}, mayNot: []string{"model", "store"}}, // it knows flows, never objects
	{dir: "api", may: []string{"opapi", "model", "store", "controller"}, mayNot: []string{"controller/session", "controller/rollout"}},
	{dir: "opapi", leaf: true},
	{dir: "ctl", may: []string{"opapi", "api", "model", "pipeline", "openflow"}},
	{dir: "sim", may: []string{"openflow", "ovsdb", "model"}},
	{dir: "cmd", may: []string{"*"}, mayNot: []string{"internal/ovstest", "sim"}},
	{dir: "cmd/penstock-sim", may: []string{"sim", "ovsdb", "model", "internal/version"}, mayNot: []string{"internal/ovstest"}}, // a tool for tests by hand
	{dir: "bench", may: []string{"*"}},
	{dir: "internal", may: []string{}},
}

// file is one Go file of the repository.
type file struct {
	path      string // slash-separated, from the root
	dir       string
	ast       *ast.File
	lines     int
	test      bool
	generated bool
}

// load parses every Go file that git knows or would add, nested modules included.
func load(t *testing.T) (root string, fset *token.FileSet, files []file) {
	t.Helper()
	out, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		t.Fatalf("git rev-parse: %v", err)
	}
	root = strings.TrimSpace(string(out))
	fset = token.NewFileSet()
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != root && (name == "testdata" || name == "bin" || strings.HasPrefix(name, ".")) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		rel = filepath.ToSlash(rel)
		files = append(files, file{path: rel, dir: strings.TrimSuffix(rel[:strings.LastIndex("/"+rel, "/")], "/"), ast: f,
			lines: bytes.Count(text, []byte("\n")), test: strings.HasSuffix(rel, "_test.go"), generated: generated(text)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return root, fset, files
}

// generated is ast.IsGenerated that also knows libovsdb's mark, which stands on two lines.
func generated(text []byte) bool {
	head, _, _ := bytes.Cut(text, []byte("\npackage "))
	return bytes.Contains(head, []byte("// Code generated ")) && bytes.Contains(head, []byte("DO NOT EDIT"))
}

// within tells whether package or folder p is dir or below it.
func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

func ruleOf(dir string) (found rule, ok bool) {
	for _, r := range rules {
		if within(dir, r.dir) && len(r.dir) >= len(found.dir) {
			found, ok = r, true
		}
	}
	return found, ok
}

// forbidden says why a file in dir may not import pkg, or "".
func forbidden(dir, pkg string) string {
	r, ok := ruleOf(dir)
	if !ok {
		return fmt.Sprintf("folder %s has no import rule: add one to internal/repotest", dir)
	}
	ours, isOurs := strings.CutPrefix(pkg, module+"/")
	for _, no := range r.mayNot {
		if pkg == no || isOurs && within(ours, no) {
			return fmt.Sprintf("%s must not import %s", r.dir, no)
		}
	}
	if !isOurs || within(ours, r.dir) {
		return ""
	}
	if r.leaf {
		return fmt.Sprintf("%s imports nothing of this module, found %s", r.dir, ours)
	}
	if ours == "internal/wire" || ours == "internal/log" {
		return ""
	}
	for _, may := range r.may {
		if may == "*" || within(ours, may) {
			return ""
		}
	}
	return fmt.Sprintf("%s must not import %s", r.dir, ours)
}

func TestImportsPointOneWay(t *testing.T) {
	_, _, files := load(t)
	for _, f := range files {
		if f.test || f.dir == "" || f.dir == "openflow/peertest" || f.dir == "openflow/peerbench" {
			continue
		}
		for _, i := range f.ast.Imports {
			p, _ := strconv.Unquote(i.Path.Value)
			if why := forbidden(f.dir, p); why != "" {
				t.Errorf("%s: %s", f.path, why)
			}
		}
	}
}

func TestForbidden(t *testing.T) {
	for _, c := range []struct {
		dir, pkg string
		bad      bool
	}{
		{"openflow", module + "/internal/wire", true},
		{"model", module + "/openflow", true},
		{"pipeline/l2", module + "/pipeline", false},
		{"pipeline/l2", module + "/model", false},
		{"pipeline/l2", "time", true},
		{"pipeline", module + "/controller/derive", true},
		{"packetin/dhcp", module + "/internal/wire", false},
		{"packetin/dhcp", module + "/openflow", true},
		{"controller/session", module + "/model", true},
		{"controller/derive", module + "/pipeline/l2", false},
		{"controller", module + "/api", true},
		{"api", module + "/controller/session", true},
		{"cmd/penstockd", module + "/internal/ovstest", true},
		{"nowhere", "fmt", true},
	} {
		if why := forbidden(c.dir, c.pkg); (why != "") != c.bad {
			t.Errorf("%s importing %s: %q", c.dir, c.pkg, why)
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	_, _, files := load(t)
	for _, f := range files {
		if !f.generated && f.lines > 800 {
			t.Errorf("%s has %d lines, at most 800 are allowed: split it by subject", f.path, f.lines)
		}
	}
}

func TestPackageComments(t *testing.T) {
	_, _, files := load(t)
	has, where := map[string]bool{}, map[string]string{}
	for _, f := range files {
		if f.test {
			continue
		}
		where[f.dir] = f.ast.Name.Name
		if f.ast.Doc == nil {
			continue
		}
		text, name := f.ast.Doc.Text(), f.ast.Name.Name
		if name == "main" {
			has[f.dir] = true
		} else if strings.HasPrefix(text, "Package "+name+" ") {
			has[f.dir] = true
		} else if !f.generated {
			t.Errorf("%s: the package comment begins with %.20q, not with \"Package %s\"", f.path, text, name)
		}
	}
	for dir, name := range where {
		if !has[dir] {
			t.Errorf("%s: package %s has no package comment that says what it is for and what it is not", dir, name)
		}
	}
}

func TestInterfacesAreSmall(t *testing.T) {
	_, fset, files := load(t)
	exempt := []string{"model/View"}
	for _, f := range files {
		if f.test || f.generated {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if i, ok := spec.Type.(*ast.InterfaceType); ok && !slices.Contains(exempt, f.dir+"/"+spec.Name.Name) {
				n := 0
				for _, m := range i.Methods.List {
					n += max(1, len(m.Names)) // an embedded interface counts as one here and is counted itself
				}
				if n > 7 {
					t.Errorf("%s: interface %s has %d methods, at most 7 are allowed", fset.Position(spec.Pos()), spec.Name.Name, n)
				}
			}
			return true
		})
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	_, fset, files := load(t)
	for _, f := range files {
		if f.test || f.generated || f.ast.Name.Name == "main" {
			continue
		}
		for _, name := range undocumented(f.ast) {
			t.Errorf("%s: exported %s has no doc comment", fset.Position(name.Pos()), name.Name)
		}
	}
}

// wellKnown methods mean what the standard library says; a comment is for what they do beyond that.
var wellKnown = []string{"String", "Error", "Unwrap", "MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText"}

// undocumented returns the exported names of a file without a comment of their own or of their group.
func undocumented(f *ast.File) (names []*ast.Ident) {
	check := func(documented bool, ids ...*ast.Ident) {
		for _, id := range ids {
			if !documented && id.IsExported() {
				names = append(names, id)
			}
		}
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil || receiverExported(d.Recv) && !slices.Contains(wellKnown, d.Name.Name) {
				check(d.Doc != nil, d.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					check(d.Doc != nil || s.Doc != nil || s.Comment != nil, s.Name)
				case *ast.ValueSpec:
					check(d.Doc != nil || s.Doc != nil || s.Comment != nil, s.Names...)
				}
			}
		}
	}
	return names
}

func receiverExported(recv *ast.FieldList) bool {
	x := recv.List[0].Type
	for {
		switch y := x.(type) {
		case *ast.StarExpr:
			x = y.X
		case *ast.IndexExpr:
			x = y.X
		case *ast.IndexListExpr:
			x = y.X
		case *ast.Ident:
			return y.IsExported()
		default:
			return false
		}
	}
}

func TestUndocumented(t *testing.T) {
	const src = `package p
// A is.
type A struct{}
type B struct{}
func (B) M() {}
func (b) N() {}
// Group.
const ( C = 1; D = 2 )
var ( E = 1 // E is.
 F = 2 )
func g() {}
`
	f, err := parser.ParseFile(token.NewFileSet(), "p.go", src, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, id := range undocumented(f) {
		got = append(got, id.Name)
	}
	if want := []string{"B", "M", "F"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestDependenciesAreExplained: each module that go.mod requires directly has its reason in the docs, and a
// version there does not lag behind go.mod.
func TestDependenciesAreExplained(t *testing.T) {
	root, _, _ := load(t)
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	docs, err := os.ReadFile(filepath.Join(root, "docs/dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(mod), "\n") {
		f := strings.Fields(line)
		if len(f) != 2 || !strings.HasPrefix(line, "\t") { // an indirect one has more fields
			continue
		}
		if !strings.Contains(string(docs), "`"+f[0]+"`") || !strings.Contains(string(docs), f[1]) {
			t.Errorf("docs/dependencies.md does not explain %s %s", f[0], f[1])
		}
	}
}

// TestNothingIsSkippedOrLeftOpen: what is missing is a failure, and what is unfinished is not merged.
func TestNothingIsSkippedOrLeftOpen(t *testing.T) {
	_, fset, files := load(t)
	marks := []string{"TO" + "DO", "FIX" + "ME", "XX" + "X:"}
	for _, f := range files {
		for _, g := range f.ast.Comments {
			for _, c := range g.List {
				for _, m := range marks {
					if strings.Contains(c.Text, m) {
						t.Errorf("%s: %s in a comment", fset.Position(c.Pos()), m)
					}
				}
			}
		}
		if !f.test {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && (x.Name == "t" || x.Name == "b" || x.Name == "tb") &&
					(s.Sel.Name == "Skip" || s.Sel.Name == "Skipf" || s.Sel.Name == "SkipNow") {
					t.Errorf("%s: a test that skips: fail and say what is missing", fset.Position(s.Pos()))
				}
			}
			return true
		})
	}
}

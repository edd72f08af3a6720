package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/ovstest"
	"github.com/penstock/penstock/opapi"
)

// patience bounds every wait for something that should happen soon. It is long because machines are busy.
const patience = 30 * time.Second

// binary is penstockd, built once for all tests.
var binary struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if binary.dir != "" {
		os.RemoveAll(binary.dir)
	}
	os.Exit(code)
}

func penstockd(t *testing.T) string {
	t.Helper()
	binary.once.Do(func() {
		if binary.dir, binary.err = os.MkdirTemp("", "penstock-e2e."); binary.err != nil {
			return
		}
		if out, err := exec.Command("go", "build", "-o", binary.dir+"/", "../../cmd/penstockd").CombinedOutput(); err != nil {
			binary.err = fmt.Errorf("go build: %w: %s", err, out)
		}
	})
	if binary.err != nil {
		t.Fatal(binary.err)
	}
	return filepath.Join(binary.dir, "penstockd")
}

// options of start.
type options struct {
	host  ovstest.Options
	more  []string // further hosts of the configuration, as YAML flow mappings
	extra string   // further YAML
}

// env is one host with its penstockd, both in the host's network namespace, where it listens on the default ports.
type env struct {
	t    *testing.T
	host *ovstest.Host
	d    *daemon
	http *http.Client
	url  string
}

// start starts an Open vSwitch host and a penstockd that runs it, and waits until every bridge is in sync.
func start(t *testing.T, opt options) *env {
	t.Helper()
	e := prepare(t, opt)
	e.d.start()
	e.waitReady()
	return e
}

// prepare is start without starting penstockd.
func prepare(t *testing.T, opt options) *env {
	t.Helper()
	h := ovstest.Start(t, opt.host)
	e := &env{t: t, host: h, url: "http://127.0.0.1:9696"}
	e.http = &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: h.Dial, MaxIdleConnsPerHost: 4}}
	t.Cleanup(e.http.CloseIdleConnections)
	listen := ""
	if h.Namespace() == "" { // a dummy datapath: the ports are shared with other tests
		api, of := freePort(t), freePort(t)
		e.url = "http://" + api
		listen = fmt.Sprintf("api: {listen: %q}\nopenflow: {listen: %q}\n", api, of)
	}
	yaml := listen + fmt.Sprintf("hosts:\n  - {name: %s, ovsdb: %q}\n", h.Name, h.OVSDB())
	for _, m := range opt.more {
		yaml += "  - " + m + "\n"
	}
	e.d = newDaemon(t, h, yaml+opt.extra)
	return e
}

// freePort is an address on loopback that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// daemon is one penstockd with its data directory, which outlives its restarts.
type daemon struct {
	t    *testing.T
	bin  string
	host *ovstest.Host
	dir  string
	p    *ovstest.Process
	log  strings.Builder // of the processes before p
}

func newDaemon(t *testing.T, h *ovstest.Host, yaml string) *daemon {
	t.Helper()
	d := &daemon{t: t, bin: penstockd(t), host: h, dir: t.TempDir()}
	d.configure(yaml)
	t.Cleanup(func() {
		if t.Failed() {
			lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(d.Log()), "\n"), func(l string) bool {
				return strings.Contains(l, `"msg":"request"`) || strings.Contains(l, `"msg":"packet-in"`)
			})
			t.Logf("end of penstockd's log:\n%s", strings.Join(lines[max(0, len(lines)-80):], "\n"))
		}
	})
	return d
}

// configure writes the configuration file for the next start.
func (d *daemon) configure(yaml string) {
	d.t.Helper()
	if !strings.Contains(yaml, "data_dir:") {
		yaml = "data_dir: " + d.dir + "/data\n" + yaml
	}
	if err := os.WriteFile(d.dir+"/penstock.yaml", []byte(yaml), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// start starts the process and does not wait for anything.
func (d *daemon) start(args ...string) {
	d.t.Helper()
	if d.p != nil {
		d.log.WriteString(d.p.Output())
	}
	d.p = d.host.Start(append([]string{d.bin, "--config", d.dir + "/penstock.yaml"}, args...)...)
}

// kill ends it with SIGKILL.
func (d *daemon) kill() { d.p.Kill() }

// stop ends it with SIGTERM and fails the test if it does not end well.
func (d *daemon) stop() {
	d.t.Helper()
	d.p.Signal(syscall.SIGTERM)
	if err := d.p.Wait(patience); err != nil {
		d.t.Fatalf("penstockd after SIGTERM: %v", err)
	}
}

// Log is what all its processes wrote to stderr.
func (d *daemon) Log() string {
	if d.p == nil {
		return d.log.String()
	}
	return d.log.String() + d.p.Output()
}

// wait waits until ok and fails the test with what was waited for after patience, or when penstockd has ended.
func (e *env) wait(what string, ok func() bool) { e.t.Helper(); e.within(patience, what, ok) }

// within is wait for something that takes longer.
func (e *env) within(d time.Duration, what string, ok func() bool) {
	e.t.Helper()
	ended := false
	if !ovstest.WaitFor(d, func() bool {
		if ok() {
			return true
		}
		ended = e.d.p != nil && !e.d.p.Running()
		return ended
	}) || ended {
		e.t.Fatalf("waited in vain for %s (penstockd ended: %v); health: %v", what, ended, e.healthText())
	}
}

// waitReady waits until penstockd is ready and the switches hold what is desired.
func (e *env) waitReady() {
	e.t.Helper()
	e.wait("penstockd to be ready", func() bool { code, _, err := e.try("GET", "/readyz", nil); return err == nil && code == 200 })
	e.settle()
}

// settle waits until the switches have confirmed everything that the store holds now.
func (e *env) settle() {
	e.t.Helper()
	rev := e.status().Revision
	e.wait("the switches to be in sync", func() bool {
		s := e.status()
		for _, h := range s.Hosts {
			if h.Name != e.host.Name {
				continue
			}
			for _, b := range h.Bridges {
				if !b.Connected || !b.Synced {
					return false
				}
			}
			return s.Derived >= rev && len(h.Bridges) > 0
		}
		return false
	})
}

type object = map[string]any

// try makes a request and returns the answer's code and body.
func (e *env) try(method, path string, body any) (int, []byte, error) {
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			e.t.Fatal(err)
		}
		r = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, e.url+path, r)
	if err != nil {
		e.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := e.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}

// do is try that fails the test on anything but success, and decodes the answer into out.
func (e *env) do(method, path string, body, out any) {
	e.t.Helper()
	code, text, err := e.try(method, path, body)
	if err != nil || code >= 300 {
		e.t.Fatalf("%s %s: %d %v: %s", method, path, code, err, text)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			e.t.Fatalf("%s %s: %v: %s", method, path, err, text)
		}
	}
}

// create makes an object of a kind ("network", "security-group") and returns it.
func (e *env) create(kind string, attrs object) object {
	e.t.Helper()
	var out map[string]object
	body := strings.ReplaceAll(kind, "-", "_")
	e.do("POST", "/v2.0/"+kind+"s", object{body: attrs}, &out)
	return out[body]
}

func (e *env) update(kind string, id any, attrs object) {
	e.t.Helper()
	e.do("PUT", "/v2.0/"+kind+"s/"+id.(string), object{strings.ReplaceAll(kind, "-", "_"): attrs}, nil)
}

func (e *env) delete(kind string, id any) {
	e.t.Helper()
	e.do("DELETE", "/v2.0/"+kind+"s/"+id.(string), nil, nil)
}

func (e *env) show(kind string, id any) object {
	e.t.Helper()
	var out map[string]object
	e.do("GET", "/v2.0/"+kind+"s/"+id.(string), nil, &out)
	return out[kind]
}

func (e *env) status() (s opapi.Status) {
	e.t.Helper()
	e.do("GET", opapi.PathStatus, nil, &s)
	return s
}

func (e *env) health() (h []opapi.Health) {
	e.t.Helper()
	e.do("GET", opapi.PathHealth, nil, &h)
	return h
}

// healthText is the health for a failure's message; it never fails itself.
func (e *env) healthText() string {
	_, text, err := e.try("GET", opapi.PathHealth, nil)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// problem is the first health entry of a code, or nil.
func (e *env) problem(code string) *opapi.Health {
	e.t.Helper()
	for _, h := range e.health() {
		if h.Code == code {
			return &h
		}
	}
	return nil
}

func (e *env) flows(bridge string) (f []opapi.Flow) {
	e.t.Helper()
	e.do("GET", opapi.PathFlows+"?bridge="+bridge, nil, &f)
	return f
}

func (e *env) fdb() (f []opapi.FDBEntry) { e.t.Helper(); e.do("GET", opapi.PathFDB, nil, &f); return f }

// flowMods are the flow-mods that this penstockd has sent to all bridges.
func (e *env) flowMods() (n uint64) {
	e.t.Helper()
	for _, h := range e.status().Hosts {
		for _, b := range h.Bridges {
			n += b.FlowModsSent
		}
	}
	return n
}

// network makes a network with a subnet and returns both.
func (e *env) network(name, cidr string, subnet object) (net, sub object) {
	e.t.Helper()
	net = e.create("network", object{"name": name})
	attrs := object{"network_id": net["id"], "ip_version": 4, "cidr": cidr}
	for k, v := range subnet {
		attrs[k] = v
	}
	return net, e.create("subnet", attrs)
}

// vm is a port of the API with its machine.
type vm struct {
	*ovstest.VM
	e    *env
	Port object
	IP   string
}

// vm makes a port with an address and a machine with the port's MAC, plugged, and waits until it is ACTIVE.
func (e *env) vm(name string, net object, ip string, attrs object) *vm {
	e.t.Helper()
	v := e.unplugged(name, net, ip, attrs)
	v.Plug()
	v.waitActive()
	return v
}

// unplugged is vm without the plug. Its eth0 has no address.
func (e *env) unplugged(name string, net object, ip string, attrs object) *vm {
	e.t.Helper()
	body := object{"name": name, "network_id": net["id"]}
	if ip != "" {
		body["fixed_ips"] = []object{{"ip_address": ip}}
	}
	for k, v := range attrs {
		body[k] = v
	}
	p := e.create("port", body)
	fixed := p["fixed_ips"].([]any)
	v := &vm{e: e, Port: p}
	if len(fixed) > 0 {
		v.IP = fixed[0].(object)["ip_address"].(string)
	}
	v.VM = e.host.AddVM(name, ovstest.VMOptions{MAC: p["mac_address"].(string), IfaceID: p["id"].(string), NoPlug: true})
	return v
}

// with gives the VM its port's address without DHCP, in a /24.
func (v *vm) with() *vm {
	v.e.t.Helper()
	v.SetIP(v.IP+"/24", "")
	return v
}

func (v *vm) status() string {
	v.e.t.Helper()
	return v.e.show("port", v.Port["id"])["status"].(string)
}

func (v *vm) waitStatus(want string) {
	v.e.t.Helper()
	v.e.wait("port "+v.Name+" to be "+want, func() bool { return v.status() == want })
}

// installed tells whether penstock-installed=true is on the VM's Interface.
func (v *vm) installed() bool {
	out, err := v.Host().TryVSCtl("--if-exists", "get", "Interface", v.Tap, "external_ids:penstock-installed")
	return err == nil && strings.Trim(out, `"`) == "true"
}

func (v *vm) waitActive() {
	v.e.t.Helper()
	v.waitStatus("ACTIVE")
	v.e.wait("penstock-installed=true on "+v.Name, v.installed)
}

// flowsOf are the flows on a bridge whose cookie names the object with a key.
func (e *env) flowsOf(bridge string, key uint32) (out []string) {
	e.t.Helper()
	for _, f := range e.host.DumpFlows(bridge) {
		if strings.Contains(f, fmt.Sprintf("%08x,", key)) && strings.HasPrefix(f, "cookie=0x51") {
			out = append(out, f)
		}
	}
	return out
}

// key is an object's 32-bit key.
func (e *env) key(id any) uint32 {
	e.t.Helper()
	var l []opapi.Object
	e.do("GET", opapi.PathObjects, nil, &l)
	for _, o := range l {
		if o.ID == id {
			return o.Key
		}
	}
	e.t.Fatalf("no object %v", id)
	return 0
}

// pings fails the test unless dst answers from v.
func (v *vm) pings(dst string) {
	v.e.t.Helper()
	if !v.WaitPing(dst, patience) {
		v.e.t.Fatalf("%s gets no answer from %s", v.Name, dst)
	}
}

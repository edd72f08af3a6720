package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func load(t *testing.T, yaml string, env map[string]string, args ...string) (Config, error) {
	t.Helper()
	fs := pflag.NewFlagSet("penstockd", pflag.ContinueOnError)
	l := NewLoader(fs)
	if yaml != "" {
		p := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(p, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"--config", p}, args...)
	}
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return l.Load(func(k string) (string, bool) { v, ok := env[k]; return v, ok })
}

func TestWeights(t *testing.T) {
	c, err := load(t, "data_dir: /a\napi: {listen: '127.0.0.1:1'}\nopenflow: {listen: '127.0.0.1:3'}\n",
		map[string]string{"PENSTOCK_API_LISTEN": "127.0.0.1:2", "PENSTOCK_OPENFLOW_LISTEN": "127.0.0.1:4"},
		"--openflow-listen", "127.0.0.1:5", "--store-endpoints", "http://a,http://b", "--packet-in-dhcp-pps", "7", "--api-pprof")
	if err != nil {
		t.Fatal(err)
	}
	if c.DataDir != "/a" || c.API.Listen != "127.0.0.1:2" || c.OpenFlow.Listen != "127.0.0.1:5" || len(c.Store.Endpoints) != 2 || c.PacketIn.DHCPPPS != 7 || !c.API.Pprof {
		t.Fatalf("%+v", c)
	}
	if c.OpenFlow.Advertise[0] != "tcp:127.0.0.1:5" || len(c.Hosts) != 1 || c.Hosts[0].Name == "" {
		t.Fatalf("not completed: %+v", c)
	}
}

func TestBad(t *testing.T) {
	for _, x := range []struct {
		yaml, want string
		env        map[string]string
	}{
		{"nonsense: 1", "field nonsense not found", nil},
		{"api: [", "yaml", nil},
		{"api: {listen: '0.0.0.0:9696'}", "allow_insecure", nil},
		{"openflow: {listen: '0.0.0.0:6653'}", "openflow.advertise", nil},
		{"hosts: [{name: a, ovsdb: 'unix:/x'}, {name: a, ovsdb: 'unix:/x'}]", "twice", nil},
		{"hosts: [{name: a}]", "has no ovsdb", nil},
		{"hosts: [{name: a, ovsdb: 'unix:/x', tunnel_ip: z}]", "not an IP address", nil},
		{"auth: {mode: maybe}", "want none", nil},
		{"auth: {mode: trusted-headers}", "auth.trusted_fronts", nil},
		{"auth: {mode: trusted-headers, trusted_fronts: [here]}", "want an address", nil},
		{"auth: {mode: keystone, keystone: {url: 'http://k'}}", "auth.keystone.username", nil},
		{"store: {endpoints: ['etcd:2379']}", "want http://", nil},
		{"store: {max_txn_ops: 500}", "set store.endpoints", nil},
		{"store: {endpoints: ['http://e:2379'], tls: {ca: /x}}", "has to be https", nil},
		{"store: {endpoints: ['https://e:2379'], tls: {cert: /x}}", "belong together", nil},
		{"store: {endpoints: ['https://e:2379'], tls: {ca: /nonexistent}}", "no such file", nil},
		{"store: {endpoints: ['http://e:2379'], username: u}", "belong together", nil},
		{"store: {endpoints: ['http://e:2379'], max_txn_ops: 7}", "at least 128", nil},
		{"nova: {url: 'nova:8774'}", "want http://", nil},
		{"nova: {url: 'http://n', keystone: {url: 'http://k', username: u}}", "nova.keystone.password", nil},
		{"nova: {url: 'http://n', token: t, keystone: {url: 'http://k'}}", "both set", nil},
		{"packet_in: {dhcp_pps: 0}", "at least 1", nil},
		{"data_dir: /x", "is not a number", map[string]string{"PENSTOCK_PACKET_IN_DHCP_PPS": "many"}},
		{"log: {level: loud}", "want debug", nil},
	} {
		_, err := load(t, x.yaml, x.env)
		if err == nil || !strings.Contains(err.Error(), x.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", x.yaml, err, x.want)
		}
	}
}

// Nova's address gets its version, and its identity from where tokens are validated.
func TestNova(t *testing.T) {
	ks := "auth: {mode: keystone, keystone: {url: 'http://k', username: u, password: p, project: s}}\n"
	for _, x := range []struct{ yaml, url, keystone string }{
		{"", "", ""},
		{"nova: {url: 'http://n:8774/'}", "http://n:8774/v2.1", ""},
		{"nova: {url: 'http://n/compute', token: x}", "http://n/compute/v2.1", ""},
		{"nova: {url: 'http://n:8774/v2.1'}\n" + ks, "http://n:8774/v2.1", "http://k"},
		{"nova: {url: 'https://n/v2', keystone: {url: 'http://other', username: u, password: p, project: s}}\n" + ks, "https://n/v2", "http://other"},
	} {
		c, err := load(t, x.yaml, nil)
		if err != nil || c.Nova.URL != x.url || c.Nova.Keystone.URL != x.keystone {
			t.Errorf("%s: %+v, %v", x.yaml, c.Nova, err)
		}
	}
}

// Every setting stands in docs/configuration.md.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Default()
	for _, s := range settings(reflect.ValueOf(&cfg).Elem(), "") {
		if !strings.Contains(string(doc), "`"+s.path+"`") {
			t.Errorf("docs/configuration.md does not say what %s is", s.path)
		}
	}
}

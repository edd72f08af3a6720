// Package config reads penstockd's settings: a YAML file, environment variables PENSTOCK_…, flags, in rising
// order of weight. Each setting is one field of Config; its names as flag and variable follow from its place.
package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// Config is all of penstockd's settings. See CONTRACT and docs/configuration.md for what each means.
type Config struct {
	DataDir  string   `yaml:"data_dir" doc:"where the embedded store keeps its data"`
	API      API      `yaml:"api"`
	OpenFlow OpenFlow `yaml:"openflow"`
	OVSDB    OVSDB    `yaml:"ovsdb"`
	Store    Store    `yaml:"store"`
	Hosts    []Host   `yaml:"hosts" doc:"the Open vSwitch hosts (YAML); default: this machine"`
	Networks Networks `yaml:"networks"`
	Auth     Auth     `yaml:"auth"`
	// Quotas are the limits of a project that has none of its own, by Neutron's resource name; -1 and what is not there: none.
	Quotas   map[string]int `yaml:"quotas" doc:"limits of every project, such as {network: 100, port: 500} (YAML); default: none"`
	PacketIn PacketIn       `yaml:"packet_in"`
	Nova     Nova           `yaml:"nova"`
	Log      Log            `yaml:"log"`
}

// API is where the HTTP interfaces are.
type API struct {
	Listen string `yaml:"listen" doc:"address of the Networking API, the operator API, /metrics and /healthz"`
	Pprof  bool   `yaml:"pprof" doc:"serve Go profiles under /debug/pprof/"`
}

// OpenFlow is how switches reach penstockd.
type OpenFlow struct {
	Listen    string   `yaml:"listen" doc:"address that switches connect to"`
	Advertise []string `yaml:"advertise" doc:"targets that bridges are told to connect to, such as tcp:192.0.2.1:6653; default: the listening address"`
	// TLS, if set, makes the socket one for ssl: targets only; each switch must show a certificate.
	TLS TLS `yaml:"tls"`
}

// OVSDB is how penstockd reaches hosts' databases.
type OVSDB struct {
	// TLS is for databases at ssl: addresses; default: that of OpenFlow.
	TLS TLS `yaml:"tls"`
}

// Store is where intent is kept.
type Store struct {
	Endpoints []string `yaml:"endpoints" doc:"client URLs of an external etcd; empty: embedded in data_dir"`
	// TLS is for https endpoints: ca checks etcd's certificate and its name, cert and key are shown to it if set.
	TLS      TLS    `yaml:"tls"`
	Username string `yaml:"username" doc:"user of an external etcd with authentication"`
	Password string `yaml:"password" doc:"that user's password; better in the environment than in a flag"`
	// MaxTxnOps and MaxRequestBytes are what the external etcd is set to.
	MaxTxnOps       int `yaml:"max_txn_ops" doc:"the external etcd's --max-txn-ops"`
	MaxRequestBytes int `yaml:"max_request_bytes" doc:"the external etcd's --max-request-bytes"`
}

func (s *Store) check() error {
	if len(s.Endpoints) == 0 {
		if s.TLS.Set() || s.Username != "" || s.Password != "" || s.MaxTxnOps != 0 || s.MaxRequestBytes != 0 {
			return errors.New("store: tls, username, password, max_txn_ops and max_request_bytes are for an external etcd: set store.endpoints, or leave them out")
		}
		return nil
	}
	for _, e := range s.Endpoints {
		u, err := url.Parse(e)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("store.endpoints %q: want http://ADDRESS:PORT or https://ADDRESS:PORT", e)
		}
		if u.Scheme == "http" && s.TLS.Set() {
			return fmt.Errorf("store.endpoints %q: store.tls is set, so that it has to be https", e)
		}
	}
	if s.TLS.Set() {
		if _, err := s.TLS.Named(); err != nil {
			return fmt.Errorf("store.tls: %w", err)
		}
	}
	if (s.Username == "") != (s.Password == "") {
		return errors.New("store.username and store.password belong together")
	}
	if s.MaxTxnOps < 0 || s.MaxTxnOps > 0 && s.MaxTxnOps < 128 || s.MaxRequestBytes < 0 || s.MaxRequestBytes > 0 && s.MaxRequestBytes < 1<<20 {
		return fmt.Errorf("store.max_txn_ops %d, store.max_request_bytes %d: want at least 128 and %d", s.MaxTxnOps, s.MaxRequestBytes, 1<<20)
	}
	return nil
}

// Host is one Open vSwitch host.
type Host struct {
	Name           string            `yaml:"name"`
	OVSDB          string            `yaml:"ovsdb"`
	TunnelIP       string            `yaml:"tunnel_ip"`
	DatapathType   string            `yaml:"datapath_type"`
	BridgeMappings map[string]string `yaml:"bridge_mappings"`
}

// Networks are the rules for new networks.
type Networks struct {
	TenantTypes             []string            `yaml:"tenant_types" doc:"what a network without provider attributes becomes, in order"`
	VXLANRange              string              `yaml:"vxlan_range" doc:"VXLAN ids for tenant networks, MIN:MAX"`
	GRERange                string              `yaml:"gre_range" doc:"GRE keys for tenant networks, MIN:MAX"`
	Physical                map[string]Physical `yaml:"physical" doc:"physical networks (YAML); default: every name in a bridge_mappings"`
	ExternalPhysicalNetwork string              `yaml:"external_physical_network" doc:"where external networks without provider attributes leave"`
	UnderlayMTU             int                 `yaml:"underlay_mtu" doc:"bytes of IP packet that the underlay carries"`
	DNSDomain               string              `yaml:"dns_domain" doc:"domain name that DHCP hands out"`
	NeighbourRefresh        int                 `yaml:"neighbour_refresh" doc:"seconds after which a router's host asks a next hop that is in use again"`
	MaxRoutes               int                 `yaml:"max_routes" doc:"how many extra routes a router may have"`
}

// Physical is one physical network.
type Physical struct {
	Flat       bool     `yaml:"flat"`
	VLANRanges []string `yaml:"vlan_ranges"`
}

// Auth is who may do what.
type Auth struct {
	Mode          string `yaml:"mode" doc:"none, trusted-headers or keystone"`
	AllowInsecure bool   `yaml:"allow_insecure" doc:"listen beyond loopback without authentication or TLS"`
	// TrustedFronts are for trusted-headers: whose X-User-Id, X-Project-Id and X-Roles are believed.
	TrustedFronts []string `yaml:"trusted_fronts" doc:"addresses or prefixes of the fronts whose identity headers are believed"`
	Keystone      Keystone `yaml:"keystone"`
}

// Keystone is where tokens are validated, and who may.
type Keystone struct {
	URL      string `yaml:"url" doc:"keystone's address, without /v3"`
	Username string `yaml:"username" doc:"service user who may validate tokens"`
	Password string `yaml:"password" doc:"that user's password; better in the environment than in a flag"`
	Project  string `yaml:"project" doc:"that user's project"`
	Domain   string `yaml:"domain" doc:"domain of that user and project"`
}

// check reports what is not set, with why it has to be.
func (k *Keystone) check(why string) error {
	for _, x := range []struct{ name, v string }{{"url", k.URL}, {"username", k.Username}, {"password", k.Password}, {"project", k.Project}} {
		if x.v == "" {
			return fmt.Errorf("%s.%s is not set", why, x.name)
		}
	}
	return nil
}

// Prefixes gives the trusted fronts; a bare address is a prefix of its own.
func (a *Auth) Prefixes() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range a.TrustedFronts {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			addr, aerr := netip.ParseAddr(s)
			if aerr != nil {
				return nil, fmt.Errorf("auth.trusted_fronts %q: want an address or ADDRESS/BITS", s)
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

func (a *Auth) check() error {
	fronts, err := a.Prefixes()
	switch {
	case err != nil:
		return err
	case a.Mode == "none":
	case a.Mode == "trusted-headers" && len(fronts) == 0:
		return errors.New("auth.mode is trusted-headers, but auth.trusted_fronts names nobody: set it to the addresses of the front that checks who asks")
	case a.Mode == "trusted-headers":
	case a.Mode == "keystone":
		return a.Keystone.check("auth.mode is keystone, but auth.keystone")
	default:
		return fmt.Errorf("auth.mode %q: want none, trusted-headers or keystone", a.Mode)
	}
	return nil
}

// Nova is whom to tell when servers' ports are plugged, unplugged and deleted.
type Nova struct {
	URL   string `yaml:"url" doc:"Nova's address with its version, such as http://192.0.2.1:8774/v2.1; empty: Nova is told nothing"`
	Token string `yaml:"token" doc:"a fixed X-Auth-Token for Nova, where no keystone is; better in the environment than in a flag"`
	// Keystone is where the token for Nova comes from; default: auth.keystone, if that is how requests are authenticated.
	Keystone Keystone `yaml:"keystone"`
}

// complete fills in the identity from that for validating tokens and checks it.
func (n *Nova) complete(a *Auth) error {
	if n.URL == "" {
		return nil
	}
	u, err := url.Parse(n.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("nova.url %q: want http://ADDRESS:PORT/v2.1 or https://…", n.URL)
	}
	if strings.Trim(u.Path, "/") == "" || strings.HasSuffix(strings.Trim(u.Path, "/"), "compute") { // keystone's catalogue has the version, people may not
		n.URL = strings.TrimSuffix(n.URL, "/") + "/v2.1"
	}
	switch k := n.Keystone; {
	case n.Token != "" && k.URL != "":
		return errors.New("nova.token and nova.keystone.url are both set: want one of them")
	case n.Token == "" && k.URL == "" && a.Mode == "keystone":
		n.Keystone = a.Keystone
	case k.URL != "":
		return k.check("nova.url is set, but nova.keystone")
	}
	return nil
}

// PacketIn bounds what one port may send to the controller, in packets a second.
type PacketIn struct {
	DHCPPPS   uint32 `yaml:"dhcp_pps" doc:"DHCP packets a second of one port"`
	DHCPBurst uint32 `yaml:"dhcp_burst" doc:"DHCP packets of one port at once"`
	ARPPPS    uint32 `yaml:"arp_pps" doc:"ARP and ICMP packets a second of one port"`
	ARPBurst  uint32 `yaml:"arp_burst" doc:"ARP and ICMP packets of one port at once"`
	LogPPS    uint32 `yaml:"log_pps" doc:"packets a second of one port that network logs show"`
	LogBurst  uint32 `yaml:"log_burst" doc:"packets of one port at once that network logs show"`
}

// Log is what is logged.
type Log struct {
	Level   string `yaml:"level" doc:"debug, info, warn or error"`
	Network string `yaml:"network" doc:"file that lines of network logs are appended to; empty: with the rest"`
}

// Default is what holds where nothing is said.
func Default() Config {
	return Config{
		DataDir:  "/var/lib/penstock",
		API:      API{Listen: "127.0.0.1:9696"},
		OpenFlow: OpenFlow{Listen: "127.0.0.1:6653"},
		Networks: Networks{TenantTypes: []string{"vxlan"}, VXLANRange: "1:16777215", GRERange: "1:16777215", UnderlayMTU: 1500, DNSDomain: "openstacklocal", MaxRoutes: 30, NeighbourRefresh: 30},
		Auth:     Auth{Mode: "none", Keystone: Keystone{Domain: "Default"}},
		Nova:     Nova{Keystone: Keystone{Domain: "Default"}},
		PacketIn: PacketIn{DHCPPPS: 50, DHCPBurst: 100, ARPPPS: 100, ARPBurst: 200, LogPPS: 100, LogBurst: 25},
		Log:      Log{Level: "info"},
	}
}

// setting is one scalar or list with its names.
type setting struct {
	path string // data_dir, api.listen, …
	doc  string
	v    reflect.Value
}

func (s setting) flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.path) }
func (s setting) env() string {
	return "PENSTOCK_" + strings.ToUpper(strings.ReplaceAll(s.path, ".", "_"))
}

// set takes a value as text: lists are comma-separated, what is no scalar is YAML.
func (s setting) set(text string) error {
	switch {
	case s.v.Kind() == reflect.String:
		s.v.SetString(text)
		return nil
	case s.v.Kind() == reflect.Slice && s.v.Type().Elem().Kind() == reflect.String:
		var l []string
		for _, x := range strings.Split(text, ",") {
			if x = strings.TrimSpace(x); x != "" {
				l = append(l, x)
			}
		}
		s.v.Set(reflect.ValueOf(l))
		return nil
	}
	p := reflect.New(s.v.Type())
	if err := yaml.Unmarshal([]byte(text), p.Interface()); err != nil {
		return fmt.Errorf("%q is not a %s", text, s.kind())
	}
	s.v.Set(p.Elem())
	return nil
}

func (s setting) kind() string {
	switch s.v.Kind() {
	case reflect.Bool:
		return "bool"
	case reflect.Int, reflect.Uint32:
		return "number"
	case reflect.String:
		return "string"
	case reflect.Slice:
		if s.v.Type().Elem().Kind() == reflect.String {
			return "list"
		}
	}
	return "yaml"
}

func settings(v reflect.Value, prefix string) []setting {
	var out []setting
	for i := range v.NumField() {
		f := v.Type().Field(i)
		path := prefix + f.Tag.Get("yaml")
		if v.Field(i).Kind() == reflect.Struct {
			out = append(out, settings(v.Field(i), path+".")...)
			continue
		}
		out = append(out, setting{path, f.Tag.Get("doc"), v.Field(i)})
	}
	return out
}

// flagValue keeps a flag's text until the file and the environment are read.
type flagValue struct {
	s    setting
	text string
	set  bool
}

func (f *flagValue) String() string     { return f.text }
func (f *flagValue) Type() string       { return f.s.kind() }
func (f *flagValue) Set(t string) error { f.text, f.set = t, true; return nil }

// Loader gathers settings from all three places.
type Loader struct {
	cfg   Config
	file  string
	flags []*flagValue
}

// NewLoader registers --config and a flag for every setting.
func NewLoader(fs *pflag.FlagSet) *Loader {
	l := &Loader{cfg: Default()}
	fs.StringVar(&l.file, "config", os.Getenv("PENSTOCK_CONFIG"), "configuration file (YAML)")
	for _, s := range settings(reflect.ValueOf(&l.cfg).Elem(), "") {
		f := &flagValue{s: s}
		if s.kind() != "yaml" {
			f.text = strings.Trim(fmt.Sprint(s.v.Interface()), "[]")
		}
		l.flags = append(l.flags, f)
		fl := fs.VarPF(f, s.flag(), "", s.doc)
		if s.kind() == "bool" {
			fl.NoOptDefVal = "true"
		}
	}
	return l
}

// Load reads file, environment and flags and checks the result. Errors name the setting and what to do.
func (l *Loader) Load(getenv func(string) (string, bool)) (Config, error) {
	if l.file != "" {
		b, err := os.ReadFile(l.file)
		if err != nil {
			return Config{}, fmt.Errorf("configuration: %w", err)
		}
		d := yaml.NewDecoder(strings.NewReader(string(b)))
		d.KnownFields(true)
		if err := d.Decode(&l.cfg); err != nil && len(strings.TrimSpace(string(b))) > 0 {
			return Config{}, fmt.Errorf("configuration %s: %s", l.file, oneLine(err))
		}
	}
	for _, f := range l.flags {
		if t, ok := getenv(f.s.env()); ok {
			if err := f.s.set(t); err != nil {
				return Config{}, fmt.Errorf("environment %s: %w", f.s.env(), err)
			}
		}
	}
	for _, f := range l.flags {
		if f.set {
			if err := f.s.set(f.text); err != nil {
				return Config{}, fmt.Errorf("flag --%s: %w", f.s.flag(), err)
			}
		}
	}
	if err := l.cfg.complete(); err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	return l.cfg, nil
}

func oneLine(err error) string {
	var te *yaml.TypeError
	if errors.As(err, &te) {
		return strings.Join(te.Errors, "; ")
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

// complete fills in what follows from other settings and checks all.
func (c *Config) complete() error {
	if _, err := net.ResolveTCPAddr("tcp", c.API.Listen); err != nil {
		return fmt.Errorf("api.listen %q: %w; want ADDRESS:PORT", c.API.Listen, err)
	}
	of, err := net.ResolveTCPAddr("tcp", c.OpenFlow.Listen)
	if err != nil {
		return fmt.Errorf("openflow.listen %q: %w; want ADDRESS:PORT", c.OpenFlow.Listen, err)
	}
	if len(c.OpenFlow.Advertise) == 0 {
		if of.IP == nil || of.IP.IsUnspecified() {
			return fmt.Errorf("openflow.listen %q is every address: set openflow.advertise to what switches shall connect to, such as tcp:192.0.2.1:%d", c.OpenFlow.Listen, of.Port)
		}
		c.OpenFlow.Advertise = []string{c.OpenFlow.scheme() + ":" + of.String()}
	}
	if c.OpenFlow.TLS.Set() {
		if _, err := c.OpenFlow.TLS.Server(); err != nil {
			return fmt.Errorf("openflow.tls: %w", err)
		}
		if !c.OVSDB.TLS.Set() {
			c.OVSDB.TLS = c.OpenFlow.TLS
		}
	}
	if c.OVSDB.TLS.Set() {
		if _, err := c.OVSDB.TLS.Client(); err != nil {
			return fmt.Errorf("ovsdb.tls: %w", err)
		}
	}
	for _, t := range c.OpenFlow.Advertise {
		if kind, _, _ := strings.Cut(t, ":"); kind != c.OpenFlow.scheme() && kind != "unix" && (kind == "tcp" || kind == "ssl") {
			return fmt.Errorf("openflow.advertise %q: the socket speaks %s: set openflow.tls for ssl targets, leave it out for tcp ones", t, c.OpenFlow.scheme())
		}
		if !strings.HasPrefix(t, "tcp:") && !strings.HasPrefix(t, "ssl:") && !strings.HasPrefix(t, "unix:") {
			return fmt.Errorf("openflow.advertise %q: want tcp:ADDRESS:PORT, ssl:ADDRESS:PORT or unix:PATH", t)
		}
	}
	if err := c.Auth.check(); err != nil {
		return err
	}
	if err := c.Store.check(); err != nil {
		return err
	}
	if err := c.Nova.complete(&c.Auth); err != nil {
		return err
	}
	switch c.Log.Level {
	case "debug", "info", "warn", "error":
	default:
		return fmt.Errorf("log.level %q: want debug, info, warn or error", c.Log.Level)
	}
	if c.Auth.Mode == "none" && !c.Auth.AllowInsecure {
		if a, _ := net.ResolveTCPAddr("tcp", c.API.Listen); !a.IP.IsLoopback() {
			return fmt.Errorf("api.listen %s is reachable from other machines, but auth.mode is none: listen on 127.0.0.1, set auth.mode, or set auth.allow_insecure: true", c.API.Listen)
		}
	}
	if n := c.Networks.NeighbourRefresh; n < 1 || n > 3600 {
		return fmt.Errorf("networks.neighbour_refresh %d: want 1 to 3600 seconds", n)
	}
	if n := c.Networks.MaxRoutes; n < 1 || n > 4096 {
		return fmt.Errorf("networks.max_routes %d: want 1 to 4096", n)
	}
	if n := c.Networks.UnderlayMTU; n < 576 || n > 65535 {
		return fmt.Errorf("networks.underlay_mtu %d: want 576 to 65535", n)
	}
	for name, v := range map[string]uint32{"dhcp_pps": c.PacketIn.DHCPPPS, "dhcp_burst": c.PacketIn.DHCPBurst, "arp_pps": c.PacketIn.ARPPPS, "arp_burst": c.PacketIn.ARPBurst,
		"log_pps": c.PacketIn.LogPPS, "log_burst": c.PacketIn.LogBurst} {
		if v == 0 {
			return fmt.Errorf("packet_in.%s is 0: nothing would be answered; want at least 1", name)
		}
	}
	return c.checkHosts()
}

// scheme is what stands before the address of a target that reaches the socket.
func (o *OpenFlow) scheme() string {
	if o.TLS.Set() {
		return "ssl"
	}
	return "tcp"
}

func (c *Config) checkHosts() error {
	seen := map[string]bool{}
	for i, h := range c.Hosts {
		switch {
		case h.Name == "" && len(c.Hosts) > 1:
			return fmt.Errorf("hosts[%d] has no name", i)
		case seen[h.Name]:
			return fmt.Errorf("hosts: %s is there twice", h.Name)
		case h.OVSDB == "":
			return fmt.Errorf("host %s has no ovsdb: want unix:PATH, tcp:ADDRESS:PORT or ssl:ADDRESS:PORT", h.Name)
		case strings.HasPrefix(h.OVSDB, "ssl:") && !c.OVSDB.TLS.Set():
			return fmt.Errorf("host %s: ovsdb %s needs certificates: set ovsdb.tls (cert, key, ca)", h.Name, h.OVSDB)
		}
		if h.TunnelIP != "" {
			if _, err := netip.ParseAddr(h.TunnelIP); err != nil {
				return fmt.Errorf("host %s: tunnel_ip %q is not an IP address", h.Name, h.TunnelIP)
			}
		}
		seen[h.Name] = true
	}
	if len(c.Hosts) == 0 {
		c.Hosts = []Host{{OVSDB: "unix:/var/run/openvswitch/db.sock"}}
	}
	if c.Hosts[0].Name == "" {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("hosts: the machine has no name (%w): set hosts[0].name", err)
		}
		c.Hosts[0].Name = name
	}
	return nil
}

// ShutdownGrace is how long a stopping penstockd waits for requests under way.
const ShutdownGrace = 5 * time.Second

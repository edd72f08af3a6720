package sim

import (
	"context"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	dbase "github.com/ovn-kubernetes/libovsdb/database"
	lmodel "github.com/ovn-kubernetes/libovsdb/model"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/penstock/penstock/ovsdb/vswitch"
)

// Options of a Host.
type Options struct {
	// Dir is where the database's socket is made; required.
	Dir string
	// OnCommit, if not nil, is called after every bundle that a controller committed.
	OnCommit func(Commit)
	// Dial, if not nil, connects the switches to tcp: controllers, from another network namespace for example.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// VIF is one VIF as libvirt plugs it.
type VIF struct {
	IfaceID string // external_ids:iface-id
	Name    string // of port and interface, at most 15 characters
	MAC     string // external_ids:attached-mac; may be empty
}

// Host is a simulated host: a database, what ovs-vswitchd does with it, and its bridges' switches. Its methods may be
// called from any goroutine.
type Host struct {
	Name string
	opt  Options
	db   *dbServer
	root string // UUID of the Open_vSwitch row
	kick chan struct{}
	stop chan struct{}
	done chan struct{}

	mu         sync.Mutex
	bridges    map[string]*bridgeRow
	ifaces     map[string]*ifaceRow
	targets    map[string]string // Controller UUID -> target
	next, cur  int
	fresh      map[string]struct{} // interfaces without a port number
	rebridge   bool                // bridges or controllers changed
	used       map[int]bool
	lastPort   int
	switches   map[string]*Switch // by bridge
	changed    chan struct{}
	byName     map[string]string // interface name -> UUID
	firstError error
}

type bridgeRow struct {
	name, dpid, wanted string
	controllers        []string
}

type ifaceRow struct {
	name      string
	port      string // UUID of its Port
	request   int
	ofport    int
	installed bool
}

// NewHost starts a host with an empty database: a controller makes the bridges.
func NewHost(name string, opt Options) (*Host, error) {
	h := &Host{Name: name, opt: opt, kick: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		bridges: map[string]*bridgeRow{}, ifaces: map[string]*ifaceRow{}, targets: map[string]string{}, fresh: map[string]struct{}{},
		used: map[int]bool{}, switches: map[string]*Switch{}, changed: make(chan struct{}), byName: map[string]string{}}
	var err error
	if h.db, err = newDBServer(filepath.Join(opt.Dir, name+".sock"), h.committed); err != nil {
		return nil, err
	}
	r, err := h.db.transact(ovsdb.Operation{Op: ovsdb.OperationInsert, Table: vswitch.OpenvSwitchTable, Row: ovsdb.Row{
		"ovs_version": "3.1.0", "datapath_types": stringSet("netdev", "system"),
		"iface_types":  stringSet("gre", "internal", "patch", "system", "vxlan"),
		"external_ids": stringMap(map[string]string{"hostname": name, "system-id": name})}})
	if err != nil {
		h.db.close()
		return nil, fmt.Errorf("sim: %w", err)
	}
	h.root = r[0].UUID.GoUUID
	go h.vswitchd()
	return h, nil
}

// OVSDB is the database's target for penstockd: unix:PATH.
func (h *Host) OVSDB() string { return "unix:" + h.db.path }

// Close ends everything.
func (h *Host) Close() {
	close(h.stop)
	<-h.done
	for _, s := range h.Switches() {
		s.Close()
	}
	h.db.close()
}

// Switches lists the bridges' switches by name.
func (h *Host) Switches() []*Switch {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []*Switch
	for _, n := range slices.Sorted(maps.Keys(h.switches)) {
		out = append(out, h.switches[n])
	}
	return out
}

// Switch is a bridge's switch, nil if there is no such bridge.
func (h *Host) Switch(bridge string) *Switch {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.switches[bridge]
}

// WaitBridge waits until a controller has made a bridge, and returns its switch.
func (h *Host) WaitBridge(ctx context.Context, bridge string) (*Switch, error) {
	var s *Switch
	err := h.wait(ctx, "bridge "+bridge, func() bool { s = h.switches[bridge]; return s != nil })
	return s, err
}

// WaitInstalled waits until external_ids:penstock-installed is true on all interfaces named.
func (h *Host) WaitInstalled(ctx context.Context, names ...string) error {
	return h.wait(ctx, "penstock-installed", func() bool {
		for _, n := range names {
			if i := h.ifaces[h.byName[n]]; i == nil || !i.installed {
				return false
			}
		}
		return true
	})
}

func (h *Host) wait(ctx context.Context, what string, ok func() bool) error {
	for {
		h.mu.Lock()
		yes, changed, err := ok(), h.changed, h.firstError
		h.mu.Unlock()
		switch {
		case err != nil:
			return err
		case yes:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("sim: host %s: waiting for %s: %w", h.Name, what, ctx.Err())
		}
	}
}

// Plug adds VIFs to br-int in one transaction, as ovs-vsctl add-port does.
func (h *Host) Plug(vifs ...VIF) error {
	h.mu.Lock()
	bridge := ""
	for u, b := range h.bridges {
		if b.name == "br-int" {
			bridge = u
		}
	}
	h.mu.Unlock()
	if bridge == "" {
		return fmt.Errorf("sim: host %s has no br-int yet", h.Name)
	}
	var ops []ovsdb.Operation
	var ports []string
	for i, v := range vifs {
		ids := map[string]string{"iface-id": v.IfaceID}
		if v.MAC != "" {
			ids["attached-mac"] = v.MAC
		}
		iface, port := "iface"+strconv.Itoa(i), "port"+strconv.Itoa(i)
		ops = append(ops,
			ovsdb.Operation{Op: ovsdb.OperationInsert, Table: vswitch.InterfaceTable, UUIDName: iface, Row: ovsdb.Row{"name": v.Name, "external_ids": stringMap(ids)}},
			ovsdb.Operation{Op: ovsdb.OperationInsert, Table: vswitch.PortTable, UUIDName: port, Row: ovsdb.Row{"name": v.Name, "interfaces": uuidSet(iface)}})
		ports = append(ports, port)
	}
	return h.change("plug", append(ops, h.mutate(vswitch.BridgeTable, bridge, "ports", ovsdb.MutateOperationInsert, uuidSet(ports...)))...)
}

// Unplug removes ports from br-int in one transaction.
func (h *Host) Unplug(names ...string) error {
	h.mu.Lock()
	byBridge := map[string][]string{}
	var unknown string
	for _, n := range names {
		i := h.ifaces[h.byName[n]]
		if i == nil {
			unknown = n
			continue
		}
		for u, b := range h.bridges {
			if b.name == "br-int" {
				byBridge[u] = append(byBridge[u], i.port)
			}
		}
	}
	h.mu.Unlock()
	if unknown != "" {
		return fmt.Errorf("sim: host %s has no interface %s", h.Name, unknown)
	}
	var ops []ovsdb.Operation
	for u, ports := range byBridge {
		ops = append(ops, h.mutate(vswitch.BridgeTable, u, "ports", ovsdb.MutateOperationDelete, uuidSet(ports...)))
	}
	return h.change("unplug", ops...)
}

func (h *Host) mutate(table, row, column string, m ovsdb.Mutator, v any) ovsdb.Operation {
	return ovsdb.Operation{Op: ovsdb.OperationMutate, Table: table, Where: byUUID(row), Mutations: []ovsdb.Mutation{*ovsdb.NewMutation(column, m, v)}}
}

// change does operations and tells ovs-vswitchd.
func (h *Host) change(what string, ops ...ovsdb.Operation) error {
	_, err := h.db.transact(append(ops, h.mutate(vswitch.OpenvSwitchTable, h.root, "next_cfg", ovsdb.MutateOperationAdd, 1))...)
	if err != nil {
		return fmt.Errorf("sim: host %s: %s: %w", h.Name, what, err)
	}
	return nil
}

// committed takes a transaction's changes over and has ovs-vswitchd's side look at them. The database waits meanwhile.
func (h *Host) committed(u dbase.Update) {
	h.mu.Lock()
	defer h.mu.Unlock()
	each := func(table string, f func(id string, row lmodel.Model)) {
		u.ForEachModelUpdate(table, func(id string, _, row lmodel.Model) error { f(id, row); return nil }) //nolint:errcheck // f has none
	}
	each(vswitch.OpenvSwitchTable, func(_ string, row lmodel.Model) {
		if r, ok := row.(*vswitch.OpenvSwitch); ok && r != nil {
			h.next, h.cur = r.NextCfg, r.CurCfg
		}
	})
	each(vswitch.ControllerTable, func(id string, row lmodel.Model) {
		h.rebridge = true
		delete(h.targets, id)
		if r, ok := row.(*vswitch.Controller); ok && r != nil {
			h.targets[id] = r.Target
		}
	})
	each(vswitch.BridgeTable, func(id string, row lmodel.Model) {
		r, ok := row.(*vswitch.Bridge)
		if !ok || r == nil {
			delete(h.bridges, id)
			h.rebridge = true
			return
		}
		b := &bridgeRow{name: r.Name, wanted: r.OtherConfig["datapath-id"], controllers: slices.Clone(r.Controller)}
		if r.DatapathID != nil {
			b.dpid = *r.DatapathID
		}
		if old := h.bridges[id]; old == nil || old.wanted != b.wanted || old.dpid != b.dpid || !slices.Equal(old.controllers, b.controllers) {
			h.rebridge = true
		}
		h.bridges[id] = b
	})
	each(vswitch.InterfaceTable, func(id string, row lmodel.Model) {
		old := h.ifaces[id]
		r, ok := row.(*vswitch.Interface)
		if !ok || r == nil {
			if old != nil {
				delete(h.used, old.ofport)
				delete(h.byName, old.name)
			}
			delete(h.ifaces, id)
			delete(h.fresh, id)
			return
		}
		i := &ifaceRow{name: r.Name, installed: r.ExternalIDs["penstock-installed"] == "true"}
		if old != nil {
			i.port = old.port
		}
		if r.Ofport != nil {
			i.ofport = *r.Ofport
		}
		if r.OfportRequest != nil {
			i.request = *r.OfportRequest
		}
		h.ifaces[id], h.byName[r.Name] = i, id
		if i.ofport == 0 {
			h.fresh[id] = struct{}{}
		}
	})
	each(vswitch.PortTable, func(id string, row lmodel.Model) {
		if r, ok := row.(*vswitch.Port); ok && r != nil {
			for _, i := range r.Interfaces {
				if x := h.ifaces[i]; x != nil {
					x.port = id
				}
			}
		}
	})
	close(h.changed)
	h.changed = make(chan struct{})
	select {
	case h.kick <- struct{}{}:
	default:
	}
}

// vswitchd does what ovs-vswitchd does with the database, one transaction for all that changed.
func (h *Host) vswitchd() {
	defer close(h.done)
	for {
		select {
		case <-h.stop:
			return
		case <-h.kick:
		}
		if ops := h.reconfigure(); len(ops) > 0 {
			if _, err := h.db.transact(ops...); err != nil {
				h.mu.Lock()
				h.firstError = fmt.Errorf("sim: host %s: ovs-vswitchd's part: %w", h.Name, err)
				h.mu.Unlock()
			}
		}
	}
}

const localPort = 65534

func (h *Host) reconfigure() (ops []ovsdb.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	set := func(table, id string, row ovsdb.Row) {
		ops = append(ops, ovsdb.Operation{Op: ovsdb.OperationUpdate, Table: table, Where: byUUID(id), Row: row})
	}
	for id := range h.fresh {
		i := h.ifaces[id]
		switch {
		case h.isBridge(i.name):
			i.ofport = localPort
		case i.request > 0:
			i.ofport = i.request // unique within its bridge; ours are fixed and the others below
		default:
			for h.lastPort++; h.used[h.lastPort] || h.lastPort >= 0xf000; h.lastPort++ {
				if h.lastPort >= 0xf000 {
					h.lastPort = 0
				}
			}
			i.ofport = h.lastPort
			h.used[i.ofport] = true
		}
		set(vswitch.InterfaceTable, id, ovsdb.Row{"ofport": i.ofport, "link_state": "up"})
	}
	clear(h.fresh)
	if h.rebridge {
		h.rebridge = false
		seen := map[string]bool{}
		for id, b := range h.bridges {
			seen[b.name] = true
			dpid, err := strconv.ParseUint(b.wanted, 16, 64)
			if err != nil {
				continue
			}
			if b.dpid != b.wanted {
				set(vswitch.BridgeTable, id, ovsdb.Row{"datapath_id": b.wanted})
			}
			s := h.switches[b.name]
			if s == nil || s.DatapathID != dpid {
				if s != nil {
					go s.Close()
				}
				s = NewSwitch(h.Name, b.name, dpid, h.opt.OnCommit)
				s.dial = h.opt.Dial
				h.switches[b.name] = s
			}
			var targets []string
			for _, c := range b.controllers {
				if t := h.targets[c]; t != "" {
					targets = append(targets, t)
				}
			}
			s.SetControllers(targets)
		}
		for name, s := range h.switches {
			if !seen[name] {
				go s.Close()
				delete(h.switches, name)
			}
		}
	}
	close(h.changed)
	h.changed = make(chan struct{})
	if h.cur < h.next {
		set(vswitch.OpenvSwitchTable, h.root, ovsdb.Row{"cur_cfg": h.next})
	}
	return ops
}

func (h *Host) isBridge(name string) bool {
	for _, b := range h.bridges {
		if b.name == name {
			return true
		}
	}
	return false
}

package ovsdb

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/penstock/penstock/ovsdb/vswitch"
)

// Settings of every controller session; see Controller in ovs-vswitchd.conf.db(5).
const (
	maxBackoff      = 1000 // ms between two attempts of a bridge to connect
	inactivityProbe = 5000 // ms of silence before a bridge asks for an echo; its floor is 5 s
	queueSize       = 511  // packet-ins that wait for the connection before they are dropped
)

// keys of other_config that are ours
const (
	keyDatapathID = "datapath-id"
	keyInBand     = "disable-in-band"
)

// planner compares what is there with what should be there, and collects what to send. It is made anew for
// each comparison and has no memory: the same tracker and Desired give the same operations.
type planner struct {
	t     *tracker
	d     Desired
	owner string
	// local: no bridge of the host carries our connection to it.
	local bool
	// confirmed is the value of next_cfg that ovs-vswitchd has to reach before its silence about a bridge
	// means that it cannot make it; zero: none was sent on this connection.
	confirmed int
	// overdue: br-int has been without a datapath for longer than a restart of Open vSwitch takes.
	overdue bool

	b      builder
	health []Health
	// fresh are the bridges that the transaction inserts: name -> row, to which ports are added.
	fresh  map[string]*freshBridge
	usable map[string]bool // bridges that ports may be put on
	wanted map[string]bool // bridges and ports that shall be there
	ask    bool            // bump next_cfg, to hear from ovs-vswitchd
	ready  bool            // ovs-vswitchd has made everything that is desired
}

type freshBridge struct {
	row   ovsdb.Row
	ports []string
}

// saved are the settings of an adopted bridge before it was taken over.
type saved struct {
	FailMode   string   `json:"fail_mode,omitempty"`
	Protocols  []string `json:"protocols,omitempty"`
	DatapathID string   `json:"datapath-id,omitempty"`
	InBand     string   `json:"disable-in-band,omitempty"`
}

func (p *planner) warn(code, object, format string, args ...any) {
	p.health = append(p.health, Health{code, object, fmt.Sprintf(format, args...)})
}

// run makes the plan; afterwards b holds the operations, health what stands in the way.
func (p *planner) run() {
	t := p.t
	if t.root == nil {
		p.warn(CodeNoRoot, "", "the Open vSwitch database has no Open_vSwitch row: start Open vSwitch with its own scripts, or run ovs-vsctl init")
		return
	}
	p.owner, p.ready = p.d.owner(), t.root.CurCfg >= p.confirmed
	p.fresh, p.usable = map[string]*freshBridge{}, map[string]bool{}
	dpType := p.datapathType()
	wanted := map[string]bool{}
	p.wanted = wanted
	for _, b := range p.d.Bridges {
		wanted[b.Name] = true
		p.bridge(b, dpType)
	}
	p.certificate()
	ports := p.d.ports()
	for _, x := range ports {
		wanted[x.name] = true
	}
	for _, x := range ports {
		if p.usable[x.bridge] && p.peersUsable(x) {
			p.port(x)
		}
	}
	for _, u := range slices.Sorted(maps.Keys(t.owned)) {
		row := t.ports[u]
		if row.ExternalIDs[KeyOwner] == p.owner && !wanted[row.Name] {
			p.removePort(u)
		}
	}
	for _, u := range slices.Sorted(maps.Keys(t.bridges)) {
		if row := t.bridges[u]; row.ExternalIDs[KeyOwner] == p.owner && !wanted[row.Name] {
			p.release(row)
		}
	}
	p.finish()
}

// certificate looks whether bridges that shall connect by TLS can. The files are the host's own: OVSDB carries their
// names, not their content, so that only the operator can put them there.
func (p *planner) certificate() {
	if p.t.root.SSL != nil {
		return
	}
	for _, b := range p.d.Bridges {
		for _, target := range b.Controllers {
			if strings.HasPrefix(target, "ssl:") {
				p.warn(CodeNoCertificate, "", "bridges shall connect to %s, but Open vSwitch has no certificate: run ovs-vsctl set-ssl KEY CERTIFICATE CA on the host, with files that ovs-pki made there", target)
				return
			}
		}
	}
}

// finish orders the operations: bridges that are new, then everything merged by row, then next_cfg, which
// tells ovs-vswitchd and says when it has caught up.
func (p *planner) finish() {
	for _, name := range slices.Sorted(maps.Keys(p.fresh)) {
		f := p.fresh[name]
		f.row["ports"] = uuidSet(f.ports...)
		u := p.b.insert(vswitch.BridgeTable, f.row)
		p.b.mutate(vswitch.OpenvSwitchTable, p.t.root.UUID, "bridges", ovsdb.MutateOperationInsert, uuidSet(u))
	}
	if len(p.b.ops)+len(p.b.order) > 0 || p.ask {
		p.b.mutate(vswitch.OpenvSwitchTable, p.t.root.UUID, "next_cfg", ovsdb.MutateOperationAdd, 1)
		p.ready = false
	}
	p.b.flush()
}

// datapathType chooses the type of the bridges that are ours.
func (p *planner) datapathType() string {
	t, want := p.t, p.d.DatapathType
	own := t.bridges[t.bridgeByName[BridgeInt]]
	made := own != nil && own.ExternalIDs[KeyOwner] == p.owner && own.ExternalIDs[KeySaved] == ""
	failed := false
	if made && deref(own.DatapathID) == "" {
		// The column is empty after a restart of ovsdb-server too, so that ovs-vswitchd is asked once to go
		// through its configuration before its silence counts.
		switch {
		case p.confirmed == 0:
			p.ask = p.overdue
		case t.root.CurCfg >= p.confirmed:
			failed = true
		}
	}
	if want == "" {
		switch {
		case made && failed && own.DatapathType != "netdev":
			return "netdev"
		case own != nil && own.DatapathType != "":
			want = own.DatapathType
		case own == nil && p.mappedType() != "":
			want = p.mappedType()
		case own != nil && !made, slices.Contains(t.root.DatapathTypes, "system") || len(t.root.DatapathTypes) == 0:
			want = "system"
		default:
			want = "netdev"
		}
	}
	if failed && own.DatapathType == want {
		p.warn(CodeDatapathUnknown, BridgeInt, "ovs-vswitchd cannot make bridge %s with datapath_type %q: load the kernel module openvswitch, or set datapath_type: netdev for this host", BridgeInt, want)
	}
	return want
}

// mappedType is the type of a mapped bridge that is there and works: patch ports need the same on both sides.
func (p *planner) mappedType() string {
	for _, b := range p.d.Bridges {
		if row := p.t.bridges[p.t.bridgeByName[b.Name]]; b.Mapped && row != nil && deref(row.DatapathID) != "" {
			return cmp.Or(row.DatapathType, "system")
		}
	}
	return ""
}

// bridge makes or mends one bridge.
func (p *planner) bridge(b Bridge, dpType string) {
	t := p.t
	row := t.bridges[t.bridgeByName[b.Name]]
	if row == nil {
		if u := t.portByName[b.Name]; u != "" {
			p.warn(CodePortNameTaken, b.Name, "bridge %s cannot be made, a port has that name: remove it with ovs-vsctl del-port %s", b.Name, b.Name)
			p.ready = false
			return
		}
		iface := p.b.insert(vswitch.InterfaceTable, ovsdb.Row{"name": b.Name, "type": "internal"})
		local := p.b.insert(vswitch.PortTable, ovsdb.Row{"name": b.Name, "interfaces": uuidSet(iface)})
		p.fresh[b.Name] = &freshBridge{ports: []string{local}, row: ovsdb.Row{"name": b.Name, "datapath_type": dpType,
			"fail_mode": "secure", "protocols": stringSet(b.Protocols), "controller": uuidSet(p.controllers(b.Controllers)...),
			"other_config": stringMap(map[string]string{keyDatapathID: datapathText(b.DatapathID), keyInBand: "true"}),
			"external_ids": stringMap(map[string]string{KeyOwner: p.owner})}}
		p.usable[b.Name] = true
		if b.Mapped {
			p.noUplink(b.Name)
		}
		return
	}
	ids := map[string]string{}
	if row.ExternalIDs[KeyOwner] != p.owner {
		if why := p.inUse(row); why != "" {
			p.warn(CodeBridgeInUse, b.Name, "%s", why)
			p.ready = false
			return
		}
		was, err := json.Marshal(saved{deref(row.FailMode), row.Protocols, row.OtherConfig[keyDatapathID], row.OtherConfig[keyInBand]})
		if err == nil {
			ids[KeyOwner], ids[KeySaved] = p.owner, string(was)
		}
	}
	p.usable[b.Name] = true
	p.mend(b, row, ids, dpType)
	if b.Mapped && !slices.ContainsFunc(row.Ports, func(u string) bool {
		return !t.owned[u] && t.ports[u] != nil && t.ports[u].Name != b.Name
	}) {
		p.noUplink(b.Name)
	}
}

func (p *planner) noUplink(bridge string) {
	p.warn(CodeNoUplink, bridge, "bridge %s has no port to the physical network: add one with ovs-vsctl add-port %s NIC", bridge, bridge)
}

// mend makes the settings of a bridge that is there as they should be.
func (p *planner) mend(b Bridge, row *vswitch.Bridge, ids map[string]string, dpType string) {
	up := ovsdb.Row{}
	if deref(row.FailMode) != "secure" {
		up["fail_mode"] = "secure"
	}
	if !sameSet(row.Protocols, b.Protocols) {
		up["protocols"] = stringSet(b.Protocols)
	}
	adopted := ids[KeySaved] != "" || row.ExternalIDs[KeySaved] != ""
	if same := row.DatapathType == dpType || row.DatapathType+dpType == "system"; !same {
		if adopted { // changing it would tear the operator's ports down
			p.warn(CodeDatapathMixed, b.Name, "bridge %s has datapath_type %q and the others %q, no packets pass between them: set the host's datapath_type, or the bridge's with ovs-vsctl set bridge %s datapath_type=%s",
				b.Name, row.DatapathType, dpType, b.Name, dpType)
		} else {
			up["datapath_type"] = dpType
		}
	}
	p.b.update(vswitch.BridgeTable, row.UUID, up)
	p.keys(vswitch.BridgeTable, row.UUID, "other_config", row.OtherConfig,
		map[string]string{keyDatapathID: datapathText(b.DatapathID), keyInBand: "true"})
	p.keys(vswitch.BridgeTable, row.UUID, "external_ids", row.ExternalIDs, ids)
	// Not compared with b.DatapathID: when settings change twice in a moment, ovs-vswitchd can leave the
	// column behind what it uses.
	p.ready = p.ready && deref(row.DatapathID) != ""
	var missing, extra []string
	have := map[string]bool{}
	for _, u := range row.Controller {
		c := p.t.controllers[u]
		switch {
		case c == nil:
		case c.ExternalIDs[KeyOwner] != p.owner:
			p.warn(CodeForeignControl, b.Name, "bridge %s also has the controller %s, which is not Penstock's and may change its flows: remove it from the bridge", b.Name, c.Target)
		case !slices.Contains(b.Controllers, c.Target) || have[c.Target]:
			extra = append(extra, u)
		default:
			have[c.Target] = true
			if deref(c.ConnectionMode) != "out-of-band" || deref(c.MaxBackoff) != maxBackoff ||
				deref(c.InactivityProbe) != inactivityProbe || deref(c.ControllerQueueSize) != queueSize {
				p.b.update(vswitch.ControllerTable, u, p.controllerRow(c.Target))
			}
		}
	}
	for _, target := range b.Controllers {
		if !have[target] {
			missing = append(missing, target)
		}
	}
	if len(missing) > 0 {
		p.b.mutate(vswitch.BridgeTable, row.UUID, "controller", ovsdb.MutateOperationInsert, uuidSet(p.controllers(missing)...))
	}
	if len(extra) > 0 && len(b.Controllers) > 0 { // removing the last one would wipe all flows
		p.b.mutate(vswitch.BridgeTable, row.UUID, "controller", ovsdb.MutateOperationDelete, uuidSet(extra...))
	}
}

// inUse says why a bridge of somebody else cannot be taken over, nothing if it can.
func (p *planner) inUse(row *vswitch.Bridge) string {
	if o := row.ExternalIDs[KeyOwner]; o != "" {
		return fmt.Sprintf("bridge %s belongs to another Penstock (owner %q): remove the host there, or run ovs-vsctl remove bridge %s external_ids %s", row.Name, o, row.Name, KeyOwner)
	}
	for _, u := range row.Controller {
		if c := p.t.controllers[u]; c != nil {
			return fmt.Sprintf("bridge %s has the controller %s: another program manages it; run ovs-vsctl del-controller %s if that is over", row.Name, c.Target, row.Name)
		}
	}
	if p.local || row.ExternalIDs[KeyTakeover] == "true" {
		return ""
	}
	for _, u := range row.Ports {
		port, iface := p.t.ports[u], p.t.ifaceOf(u)
		if port == nil || port.Name == row.Name || iface != nil && iface.ExternalIDs[KeyIfaceID] != "" {
			continue
		}
		return fmt.Sprintf("bridge %s has the port %s, and the host is perhaps reached through it, so it is left alone: if OVSDB and OpenFlow go another way, run ovs-vsctl set bridge %s external_ids:%s=true",
			row.Name, port.Name, row.Name, KeyTakeover)
	}
	return ""
}

func (p *planner) controllerRow(target string) ovsdb.Row {
	return ovsdb.Row{"target": target, "connection_mode": "out-of-band", "max_backoff": maxBackoff,
		"inactivity_probe": inactivityProbe, "controller_queue_size": queueSize,
		"external_ids": stringMap(map[string]string{KeyOwner: p.owner})}
}

func (p *planner) controllers(targets []string) []string {
	out := make([]string, len(targets))
	for i, target := range targets {
		out[i] = p.b.insert(vswitch.ControllerTable, p.controllerRow(target))
	}
	return out
}

// peersUsable is false for a patch port whose other end cannot be made: half a pair is only an error in logs.
func (p *planner) peersUsable(x port) bool {
	for _, q := range p.d.Patches {
		if q.A.Port == x.name || q.B.Port == x.name {
			return p.usable[q.A.Bridge] && p.usable[q.B.Bridge]
		}
	}
	return true
}

// port makes or mends a patch or tunnel port.
func (p *planner) port(x port) {
	t := p.t
	request := int(x.ofport)
	if u := t.portByName[x.name]; u != "" {
		if t.ports[u].ExternalIDs[KeyOwner] != p.owner {
			p.warn(CodePortNameTaken, x.name, "port %s cannot be made, a port of somebody else has that name: remove it with ovs-vsctl del-port %s", x.name, x.name)
			p.ready = false
			return
		}
		iface := t.ifaceOf(u)
		if on := t.bridges[t.portBridge[u]]; on != nil && on.Name == x.bridge && iface != nil {
			up := ovsdb.Row{}
			if iface.Type != x.kind {
				up["type"] = x.kind
			}
			if !maps.Equal(iface.Options, x.options) {
				up["options"] = stringMap(x.options)
			}
			if deref(iface.OfportRequest) != request {
				up["ofport_request"] = request
			}
			p.b.update(vswitch.InterfaceTable, iface.UUID, up)
			p.portHealth(x, iface, len(up) == 0)
			return
		}
		p.removePort(u) // on the wrong bridge; the row goes with the last reference to it
	}
	if p.fresh[x.bridge] == nil && p.numberHeld(x) {
		p.ready = false
		return
	}
	iface := p.b.insert(vswitch.InterfaceTable, ovsdb.Row{"name": x.name, "type": x.kind, "ofport_request": request,
		"options": stringMap(x.options), "external_ids": stringMap(map[string]string{KeyOwner: p.owner})})
	u := p.b.insert(vswitch.PortTable, ovsdb.Row{"name": x.name, "interfaces": uuidSet(iface),
		"external_ids": stringMap(map[string]string{KeyOwner: p.owner})})
	if f := p.fresh[x.bridge]; f != nil {
		f.ports = append(f.ports, u)
		return
	}
	p.b.mutate(vswitch.BridgeTable, t.bridgeByName[x.bridge], "ports", ovsdb.MutateOperationInsert, uuidSet(u))
}

// numberHeld says whether ovs-vswitchd may still use a new port's number for one that goes. It would give the new port
// another number then; so the new one waits for the next comparison, when the old one is gone for ovs-vswitchd too.
func (p *planner) numberHeld(x port) bool {
	t := p.t
	if t.root.CurCfg < t.root.NextCfg {
		return true
	}
	for u := range t.owned {
		row, iface := t.ports[u], t.ifaceOf(u)
		if row.ExternalIDs[KeyOwner] == p.owner && row.Name != x.name && !p.wanted[row.Name] && iface != nil &&
			deref(iface.OfportRequest) == int(x.ofport) && t.portBridge[u] == t.bridgeByName[x.bridge] {
			return true
		}
	}
	return false
}

func (p *planner) portHealth(x port, iface *vswitch.Interface, settled bool) {
	switch n := deref(iface.Ofport); {
	case n == int(x.ofport):
		return
	case deref(iface.Error) != "":
		p.health = append(p.health, ifaceError(iface))
	case n > 0 && settled:
		p.warn(CodeOFPortTaken, x.name, "port %s has OpenFlow number %d instead of %d, which another port of %s has: give that port another ofport_request", x.name, n, x.ofport, x.bridge)
	}
	p.ready = false
}

func (p *planner) removePort(u string) {
	row := p.t.ports[u]
	p.b.rows = append(p.b.rows, rowRef{vswitch.PortTable, u})
	for _, i := range row.Interfaces {
		p.b.rows = append(p.b.rows, rowRef{vswitch.InterfaceTable, i})
	}
	if on := p.t.portBridge[u]; on != "" {
		p.b.mutate(vswitch.BridgeTable, on, "ports", ovsdb.MutateOperationDelete, uuidSet(u))
	}
}

// release gives a bridge back: one that we made goes, unless others have ports on it; one that was adopted
// gets the settings it had.
func (p *planner) release(row *vswitch.Bridge) {
	foreign := slices.ContainsFunc(row.Ports, func(u string) bool {
		x := p.t.ports[u]
		return x != nil && x.Name != row.Name && x.ExternalIDs[KeyOwner] != p.owner
	})
	var was saved
	text := row.ExternalIDs[KeySaved]
	if text == "" && !foreign {
		p.b.mutate(vswitch.OpenvSwitchTable, p.t.root.UUID, "bridges", ovsdb.MutateOperationDelete, uuidSet(row.UUID))
		p.b.rows = append(p.b.rows, rowRef{vswitch.BridgeTable, row.UUID})
		return
	}
	if err := json.Unmarshal([]byte(text), &was); text != "" && err != nil {
		was = saved{} // somebody edited it: Open vSwitch's defaults
	}
	up := ovsdb.Row{"fail_mode": stringSet(nil), "protocols": stringSet(was.Protocols)}
	if was.FailMode != "" {
		up["fail_mode"] = was.FailMode
	}
	p.b.update(vswitch.BridgeTable, row.UUID, up)
	p.b.mapSet(vswitch.BridgeTable, row.UUID, "other_config", map[string]string{keyDatapathID: was.DatapathID, keyInBand: was.InBand})
	p.b.mapSet(vswitch.BridgeTable, row.UUID, "external_ids", map[string]string{KeyOwner: "", KeySaved: ""})
	var ours []string
	for _, u := range row.Controller {
		if c := p.t.controllers[u]; c != nil && c.ExternalIDs[KeyOwner] == p.owner {
			ours = append(ours, u)
			p.b.rows = append(p.b.rows, rowRef{vswitch.ControllerTable, u})
		}
	}
	if len(ours) > 0 {
		p.b.mutate(vswitch.BridgeTable, row.UUID, "controller", ovsdb.MutateOperationDelete, uuidSet(ours...))
	}
}

// keys sets those keys of a map column that differ.
func (p *planner) keys(table, uuid, column string, have, want map[string]string) {
	differ := map[string]string{}
	for k, v := range want {
		if have[k] != v {
			differ[k] = v
		}
	}
	if len(differ) > 0 {
		p.b.mapSet(table, uuid, column, differ)
	}
}

func datapathText(id uint64) string { return fmt.Sprintf("%016x", id) }

func sameSet(a, b []string) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x string) bool { return !slices.Contains(b, x) })
}

// listed keeps at most n entries of each code and counts the rest in one more line.
func listed(h []Health, n int) []Health {
	sortHealth(h)
	var out []Health
	for len(h) > 0 {
		end := 1
		for end < len(h) && h[end].Code == h[0].Code {
			end++
		}
		out = append(out, h[:min(n, end)]...)
		if end > n {
			out = append(out, Health{h[0].Code, "", fmt.Sprintf("and %d more: %s …", end-n, strings.Join(objects(h[n:min(n+3, end)]), ", "))})
		}
		h = h[end:]
	}
	return out
}

func objects(h []Health) []string {
	out := make([]string, len(h))
	for i, x := range h {
		out[i] = x.Object
	}
	return out
}

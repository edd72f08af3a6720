package api

import (
	"net/http"
	"slices"

	"github.com/penstock/penstock/model"
)

var trunkResource = new(Resource)

func init() {
	*trunkResource = Resource{
		Name: "trunk", Collection: "trunks", Table: model.Trunks, Quota: "trunk",
		New:      func() model.Object { return &model.Trunk{} },
		Missing:  func(id string) *Error { return notFound("TrunkNotFound", "Trunk %s could not be found.", id) },
		NarrowBy: map[string]*model.Index{"tenant_id": model.TrunksByProject, "project_id": model.TrunksByProject, "port_id": model.TrunksByPort},
		Create: func(c *call, o model.Object, in Values) error {
			t := o.(*model.Trunk)
			if err := c.trunkParent(t); err != nil {
				return err
			}
			l, _ := in["sub_ports"].([]any)
			return c.addSubPorts(t, l)
		},
		Delete: func(c *call, o model.Object) error {
			t := o.(*model.Trunk)
			if !t.AdminStateUp {
				return conflict("TrunkDisabled", "Trunk %s is currently disabled.", t.ID)
			}
			p, ok := c.view().Port(t.PortID)
			if ok {
				if typ, _ := c.vif(p); typ == "ovs" && portStatus(c, p) == model.StatusActive {
					return conflict("TrunkInUse", "Trunk %s is currently in use.", t.ID)
				}
			}
			return nil
		},
		Actions: map[string]Action{
			"add_subports":    {Method: http.MethodPut, Run: addSubPortsAction},
			"remove_subports": {Method: http.MethodPut, Run: removeSubPortsAction},
			"get_subports": {Method: http.MethodGet, Run: func(_ *call, o model.Object, _ map[string]any) (any, error) {
				return map[string]any{"sub_ports": subPortValues(o.(*model.Trunk))}, nil
			}},
		},
		Attrs: attrs(
			standardAttrs(), tagAttrs(), adminStateAttr(func(o model.Object) *bool { return &o.(*model.Trunk).AdminStateUp }),
			idAttr(), nameAttr("", isString(255)), tenantAttr(), projectAttr(),
			Attr{Name: "port_id", Ops: C | V | F | S | P, Default: required, Check: isUUID,
				Get: get(func(t *model.Trunk) any { return string(t.PortID) }),
				Set: put(func(t *model.Trunk, v any) { t.PortID = model.PortID(v.(string)) })},
			Attr{Name: "status", Ops: V | S, Get: getc(func(c *call, t *model.Trunk) any { return c.view().Status(t.PortID) })},
			Attr{Name: "sub_ports", Ops: C | V, Default: []any{}, Check: isSubPorts, Get: get(func(t *model.Trunk) any { return subPortValues(t) })},
			descriptionAttr(),
		),
	}
}

func subPortValues(t *model.Trunk) []any {
	out := []any{}
	for _, s := range t.SubPorts {
		out = append(out, map[string]any{"port_id": string(s.PortID), "segmentation_type": s.Type, "segmentation_id": s.ID})
	}
	return out
}

// trunkDetails is what a parent port shows of its trunk.
func trunkDetails(c *call, p *model.Port) any {
	t, ok := c.view().TrunkOf(model.PortID(p.ID))
	if !ok {
		return nil
	}
	subs := subPortValues(t)
	for i, s := range t.SubPorts {
		if x, ok := c.view().Port(s.PortID); ok {
			subs[i].(map[string]any)["mac_address"] = x.MAC.String()
		}
	}
	return map[string]any{"trunk_id": t.ID, "sub_ports": subs}
}

func isSubPorts(v any) string {
	l, ok := v.([]any)
	if !ok {
		return "Invalid data format for subports: '" + text(v) + "' is not a list"
	}
	var ids []string
	seen := map[string]bool{}
	for _, x := range l {
		m, ok := x.(map[string]any)
		if !ok {
			return "Invalid data format for subport: '" + text(x) + "' is not a dict"
		}
		if !has(m, "port_id") {
			return "A valid port UUID must be specified"
		}
		if isUUID(m["port_id"]) != "" {
			return "Invalid UUID for subport: '" + text(m["port_id"]) + "'"
		}
		id := m["port_id"].(string)
		if slices.Contains(ids, id) {
			return "Non unique UUID for subport: '" + id + "'"
		}
		ids = append(ids, id)
		if m["segmentation_type"] == "inherit" {
			continue
		}
		if m["segmentation_type"] == nil || m["segmentation_id"] == nil {
			return "Invalid subport details '" + text(x) + "': missing segmentation information. Must specify both segmentation_id and segmentation_type"
		}
		n, ok := toInt(m["segmentation_id"])
		if !ok {
			return "Invalid segmentation ID '" + text(m["segmentation_id"]) + "' for '" + id + "': must be an integer"
		}
		m["segmentation_id"] = n
		key := text(m["segmentation_type"]) + "/" + text(n)
		if seen[key] {
			return "Segmentation ID '" + text(n) + "' for '" + id + "' is not unique"
		}
		seen[key] = true
	}
	return ""
}

// trunkParent checks that a port can be a trunk's parent.
func (c *call) trunkParent(t *model.Trunk) error {
	p, ok := c.view().Port(t.PortID)
	if !ok || !c.sees(portResource, p) {
		return portResource.Missing(string(t.PortID))
	}
	if err := c.freeForTrunk(t.PortID); err != nil {
		return err
	}
	if typ, _ := c.vif(p); typ == "ovs" && p.DeviceID != "" {
		return conflict("ParentPortInUse", "Port %s is currently in use and is not eligible for use as a parent port.", p.ID)
	}
	c.tx.Get(model.Ports, p.ID)
	return nil
}

// freeForTrunk reports as an error that a port is in a trunk already.
func (c *call) freeForTrunk(id model.PortID) error {
	if _, ok := c.view().TrunkOf(id); ok {
		return conflict("ParentPortInUse", "Port %s is currently in use and is not eligible for use as a parent port.", id)
	}
	if _, ok := c.view().TrunkOver(id); ok {
		return conflict("TrunkPortInUse", "Port %s is in use by another trunk.", id)
	}
	return nil
}

// addSubPorts adds checked subports to a trunk that is not in a snapshot yet.
func (c *call) addSubPorts(t *model.Trunk, l []any) error {
	next := slices.Clone(t.SubPorts)
	most := c.mtuOf(t.PortID)
	for _, x := range l {
		m := x.(map[string]any)
		s := model.SubPort{PortID: model.PortID(m["port_id"].(string)), Type: text(m["segmentation_type"])}
		n, _ := m["segmentation_id"].(int64)
		p, ok := c.view().Port(s.PortID)
		if !ok || !c.sees(portResource, p) {
			return portResource.Missing(string(s.PortID))
		}
		if mtu := c.mtuOf(s.PortID); most > 0 && mtu > most {
			return conflict("SubPortMtuGreaterThanTrunkPortMtu", "MTU %d of subport %s cannot be greater than MTU %d of trunk %s.", mtu, s.PortID, most, t.PortID)
		}
		switch s.Type {
		case "vlan":
		case "inherit":
			net, _ := c.view().Network(p.NetworkID)
			if net == nil || len(net.Segments) == 0 || net.Segments[0].Type != model.NetworkVLAN {
				return invalidInput("Cannot accommodate MTU or inherit segmentation details of port %s: its network is no VLAN network", s.PortID)
			}
			s.Type, n = "vlan", int64(net.Segments[0].ID)
		default:
			return invalidInput("Unknown segmentation_type '%s'", s.Type)
		}
		if n < 1 || n > 4094 {
			return invalidInput("Invalid segmentation ID '%d' for '%s': must be between 1 and 4094", n, s.PortID)
		}
		s.ID = uint32(n)
		if s.PortID == t.PortID {
			return conflict("ParentPortInUse", "Port %s is currently in use and is not eligible for use as a parent port.", s.PortID)
		}
		if err := c.freeForTrunk(s.PortID); err != nil {
			return err
		}
		if slices.ContainsFunc(next, func(y model.SubPort) bool { return y.Type == s.Type && y.ID == s.ID }) {
			return conflict("DuplicateSubPort", "segmentation_type %s and segmentation_id %d already in use on trunk %s.", s.Type, s.ID, t.ID)
		}
		next = append(next, s)
		c.tx.Get(model.Ports, string(s.PortID))
	}
	t.SubPorts = next
	return nil
}

// mtuOf is the MTU of a port's network, 0 if there is none.
func (c *call) mtuOf(id model.PortID) int {
	p, ok := c.view().Port(id)
	if !ok {
		return 0
	}
	n, ok := c.view().Network(p.NetworkID)
	if !ok {
		return 0
	}
	return n.MTU
}

func subPortsBody(body map[string]any, full bool) ([]any, error) {
	raw, ok := body["sub_ports"]
	if !ok {
		return nil, badRequest("Unable to find 'sub_ports' in request body")
	}
	if full {
		if r := isSubPorts(raw); r != "" {
			return nil, invalidInput("%s", r)
		}
	}
	l, ok := raw.([]any)
	if !ok {
		return nil, invalidInput("'%s' is not a list", text(raw))
	}
	for _, x := range l {
		if m, ok := x.(map[string]any); !ok || isUUID(m["port_id"]) != "" {
			return nil, invalidInput("A valid port UUID must be specified")
		}
	}
	return l, nil
}

func (c *call) trunkAnswer(old, next *model.Trunk) (any, error) {
	c.write(model.Trunks, old, next)
	return c.appendObject(nil, trunkResource, next, nil), nil
}

func addSubPortsAction(c *call, o model.Object, body map[string]any) (any, error) {
	old := o.(*model.Trunk)
	l, err := subPortsBody(body, true)
	if err != nil {
		return nil, err
	}
	if !old.AdminStateUp {
		return nil, conflict("TrunkDisabled", "Trunk %s is currently disabled.", old.ID)
	}
	next := clone(old).(*model.Trunk)
	if err := c.addSubPorts(next, l); err != nil {
		return nil, err
	}
	return c.trunkAnswer(old, next)
}

func removeSubPortsAction(c *call, o model.Object, body map[string]any) (any, error) {
	old := o.(*model.Trunk)
	l, err := subPortsBody(body, false)
	if err != nil {
		return nil, err
	}
	if !old.AdminStateUp {
		return nil, conflict("TrunkDisabled", "Trunk %s is currently disabled.", old.ID)
	}
	next := clone(old).(*model.Trunk)
	next.SubPorts = slices.Clone(old.SubPorts)
	for _, x := range l {
		id := x.(map[string]any)["port_id"].(string)
		i := slices.IndexFunc(next.SubPorts, func(s model.SubPort) bool { return string(s.PortID) == id })
		if i < 0 {
			return nil, notFound("SubPortNotFound", "SubPort %s on trunk %s could not be found.", id, old.ID)
		}
		next.SubPorts = slices.Delete(next.SubPorts, i, i+1)
	}
	return c.trunkAnswer(old, next)
}

// trunkHolds reports as an error that a trunk keeps a port from being deleted.
func (c *call) trunkHolds(p *model.Port) error {
	if t, ok := c.view().TrunkOf(model.PortID(p.ID)); ok {
		return conflict("PortInUseAsTrunkParent", "Port %s is currently a parent port for trunk %s.", p.ID, t.ID)
	}
	if t, ok := c.view().TrunkOver(model.PortID(p.ID)); ok {
		return conflict("PortInUseAsSubPort", "Port %s is currently a subport for trunk %s.", p.ID, t.ID)
	}
	return nil
}

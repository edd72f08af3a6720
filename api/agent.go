package api

import (
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/penstock/penstock/model"
)

// agentSpace makes an agent's id of its host's name: it is the same at every start.
var agentSpace = uuid.MustParse("6f4c1c0e-6a53-5d0c-9f5e-0d3b6f1f7a11")

func agentID(h *model.Host) string { return uuid.NewSHA1(agentSpace, []byte(h.Name)).String() }

// agentResource shows the hosts as the reference shows its Open vSwitch agents.
var agentResource = new(Resource)

func init() {
	*agentResource = Resource{
		Name: "agent", Collection: "agents", Table: model.Hosts, AdminOnly: true, NoTags: true, NoDelete: true, NoPaging: true,
		NoCreate: true,
		New:      func() model.Object { return &model.Host{} },
		Missing:  func(id string) *Error { return notFound("AgentNotFound", "Agent %s could not be found.", id) },
		Lookup: func(c *call, id string) model.Object {
			for o := range c.src().Each(model.Hosts) {
				if agentID(o.(*model.Host)) == id {
					return o
				}
			}
			return nil
		},
		Actions: map[string]Action{
			"dhcp-networks": {Method: http.MethodGet, Run: func(*call, model.Object, map[string]any) (any, error) {
				return map[string]any{"networks": []any{}}, nil
			}},
			"l3-routers": {Method: http.MethodGet, Run: func(*call, model.Object, map[string]any) (any, error) { return map[string]any{"routers": []any{}}, nil }},
		},
		Attrs: attrs(
			Attr{Name: "id", Ops: V | F | S, Get: get(func(h *model.Host) any { return agentID(h) }), Match: func(_ *call, o model.Object, values []any) bool {
				return matchAny(agentID(o.(*model.Host)), values)
			}},
			agentConst("agent_type", "Open vSwitch agent"), agentConst("binary", "neutron-openvswitch-agent"), agentConst("topic", "N/A"),
			Attr{Name: "host", Ops: V | F | S, Get: nameAttr("", nil).Get},
			extraAttr(Attr{Name: "admin_state_up", Ops: U | V | F | S, Conv: convBool}, true),
			Attr{Name: "created_at", Ops: V | F | S, Get: get(func(h *model.Host) any { return agentTime(h.CreatedAt) })},
			Attr{Name: "started_at", Ops: V | F | S, Get: getc(func(c *call, h *model.Host) any { return agentTime(c.since(h)) })},
			Attr{Name: "heartbeat_timestamp", Ops: V | F | S, Get: getc(func(c *call, h *model.Host) any {
				if c.alive(h) {
					return agentTime(c.now)
				}
				return agentTime(c.since(h))
			})},
			Attr{Name: "alive", Ops: V | F | S, Conv: convBool, Get: getc(func(c *call, h *model.Host) any { return c.alive(h) })},
			extraAttr(Attr{Name: "description", Ops: U | V | F | S, Check: noneOr(isString(255))}, nil),
			Attr{Name: "resources_synced", Ops: V | S, Get: func(*call, model.Object) any { return nil }},
			Attr{Name: "availability_zone", Ops: V | F | S, Get: get(func(h *model.Host) any { return orNull(h.HostTags["zone"]) })},
			Attr{Name: "configurations", Ops: V | S, Get: getc(func(c *call, h *model.Host) any {
				maps := map[string]any{}
				for k, v := range h.BridgeMappings {
					maps[k] = v
				}
				datapath := "system"
				if s, ok := c.src().Get(model.HostStates, h.Name).(*model.HostState); ok && s.Datapath != "" {
					datapath = s.Datapath
				}
				return map[string]any{"bridge_mappings": maps, "tunnel_types": []string{"vxlan", "gre"}, "tunneling_ip": addrOrNull(h.TunnelIP),
					"integration_bridge": "br-int", "datapath_type": datapath, "ovs_hybrid_plug": false,
					"ovs_capabilities": map[string]any{"datapath_types": []string{"netdev", "system"}, "iface_types": []string{}}}
			})},
		),
	}
}

func agentConst(name, value string) Attr {
	return Attr{Name: name, Ops: V | F | S, Get: func(*call, model.Object) any { return value }}
}

// agentTime is how agents show a time.
func agentTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

func (c *call) hostState(h *model.Host) (*model.HostState, bool) {
	s, ok := c.src().Get(model.HostStates, h.Name).(*model.HostState)
	return s, ok
}

func (c *call) alive(h *model.Host) bool {
	s, ok := c.hostState(h)
	return ok && s.Alive
}

func (c *call) since(h *model.Host) time.Time {
	if s, ok := c.hostState(h); ok && !s.Since.IsZero() {
		return s.Since
	}
	return h.CreatedAt
}

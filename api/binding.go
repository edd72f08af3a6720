package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/penstock/penstock/model"
)

// bindings serves /ports/id/bindings[/host[/activate]]: the hosts that a port may be bound on while it migrates.
func (c *call) bindings(id string, rest []string, body map[string]any) (*reply, error) {
	m := c.req.Method
	if _, err := c.find(portResource, id); err != nil {
		return nil, err
	}
	if !c.who.Admin() && !c.who.has("service") {
		return nil, forbidden("rule:" + map[string]string{"GET": "get", "POST": "create", "PUT": "update", "DELETE": "delete"}[m] + "_port_binding")
	}
	answer := func(status int, p *model.Port, b model.HostBinding, active bool) *reply {
		return &reply{status, appendJSON(nil, map[string]any{"binding": c.bindingValue(p, b, active)})}
	}
	if m == http.MethodGet {
		o, err := c.find(portResource, id)
		if err != nil {
			return nil, err
		}
		p := o.(*model.Port)
		if len(rest) == 0 {
			out := []any{}
			for i, b := range allBindings(p) {
				out = append(out, c.bindingValue(p, b, i == 0))
			}
			return &reply{http.StatusOK, appendJSON(nil, map[string]any{"bindings": out})}, nil
		}
		for i, b := range allBindings(p) {
			if string(b.Host) == rest[0] && len(rest) == 1 {
				return answer(http.StatusOK, p, b, i == 0), nil
			}
		}
		return nil, bindingNotFound(id, rest[0])
	}
	var rep *reply
	_, err := c.modify(portResource, id, true, func(old, o model.Object) (err error) {
		was, p := old.(*model.Port), o.(*model.Port)
		p.InactiveBindings = slices.Clone(was.InactiveBindings)
		switch {
		case len(rest) == 0 && m == http.MethodPost:
			var b model.HostBinding
			if b, err = newBinding(was, body); err != nil {
				return err
			}
			p.InactiveBindings = append(p.InactiveBindings, b)
			slices.SortFunc(p.InactiveBindings, func(a, b model.HostBinding) int { return strings.Compare(string(a.Host), string(b.Host)) })
			if t, _ := c.vifOn(p, b.Host, b.VNICType); t == "binding_failed" {
				return fail(http.StatusInternalServerError, "PortBindingError", "Binding for port %s on host %s could not be created or updated.", p.ID, b.Host)
			}
			rep = answer(http.StatusCreated, p, b, was.HostID == "")
			return nil
		case len(rest) == 1 && m == http.MethodPut:
			in, _ := body["binding"].(map[string]any)
			if string(p.HostID) == rest[0] && p.HostID != "" {
				b := model.HostBinding{Host: p.HostID, VNICType: p.VNICType, Profile: p.Profile}
				if err := readBinding(&b, in); err != nil {
					return err
				}
				p.VNICType, p.Profile = b.VNICType, b.Profile
				rep = answer(http.StatusOK, p, b, true)
				return nil
			}
			i := findBinding(p, rest[0])
			if i < 0 {
				return bindingNotFound(id, rest[0])
			}
			if err := readBinding(&p.InactiveBindings[i], in); err != nil {
				return err
			}
			rep = answer(http.StatusOK, p, p.InactiveBindings[i], false)
			return nil
		case len(rest) == 1 && m == http.MethodDelete:
			rep = &reply{http.StatusNoContent, nil}
			if string(p.HostID) == rest[0] && p.HostID != "" {
				p.HostID, p.Profile = "", nil
				return nil
			}
			i := findBinding(p, rest[0])
			if i < 0 {
				return bindingNotFound(id, rest[0])
			}
			p.InactiveBindings = slices.Delete(p.InactiveBindings, i, i+1)
			return nil
		case len(rest) == 2 && rest[1] == "activate" && m == http.MethodPut:
			if string(p.HostID) == rest[0] && p.HostID != "" {
				return conflict("PortBindingAlreadyActive", "Binding for port %s on host %s is already active.", p.ID, rest[0])
			}
			i := findBinding(p, rest[0])
			if i < 0 {
				return bindingNotFound(id, rest[0])
			}
			b := p.InactiveBindings[i]
			p.InactiveBindings = slices.Delete(p.InactiveBindings, i, i+1)
			if was.HostID != "" {
				p.InactiveBindings = append(p.InactiveBindings, model.HostBinding{Host: was.HostID, VNICType: was.VNICType, Profile: was.Profile, Released: true})
			}
			slices.SortFunc(p.InactiveBindings, func(a, b model.HostBinding) int { return strings.Compare(string(a.Host), string(b.Host)) })
			p.HostID, p.VNICType, p.Profile = b.Host, b.VNICType, b.Profile
			v := c.bindingValue(p, b, true)
			rep = &reply{http.StatusOK, appendJSON(nil, v)}
			return nil
		}
		return hidden
	})
	if err != nil {
		return nil, err
	}
	return rep, nil
}

func bindingNotFound(id, host string) *Error {
	return notFound("PortBindingNotFound", "Binding for port %s for host %s could not be found.", id, host)
}

// allBindings gives the active binding first; its host is empty when there is none.
func allBindings(p *model.Port) []model.HostBinding {
	return append([]model.HostBinding{{Host: p.HostID, VNICType: p.VNICType, Profile: p.Profile}}, p.InactiveBindings...)
}

func findBinding(p *model.Port, host string) int {
	return slices.IndexFunc(p.InactiveBindings, func(b model.HostBinding) bool { return string(b.Host) == host })
}

func newBinding(p *model.Port, body map[string]any) (model.HostBinding, error) {
	b := model.HostBinding{VNICType: "normal"}
	in, ok := body["binding"].(map[string]any)
	if !ok {
		return b, badRequest("Unable to find 'binding' in request body")
	}
	host, ok := in["host"].(string)
	if !ok || host == "" {
		return b, badRequest("Failed to parse request. Required attribute 'host' not specified")
	}
	b.Host = model.HostName(host)
	if p.HostID == b.Host || findBinding(p, host) >= 0 {
		return b, conflict("PortBindingAlreadyExists", "Binding for port %s on host %s already exists.", p.ID, host)
	}
	return b, readBinding(&b, in)
}

func readBinding(b *model.HostBinding, in map[string]any) error {
	for _, k := range sortedKeys(in) {
		switch k {
		case "host":
		case "vnic_type":
			if r := portResource.attr("binding:vnic_type").Check(in[k]); r != "" {
				return badRequest("Invalid input for vnic_type. Reason: %s.", r)
			}
			b.VNICType = text(in[k])
		case "profile":
			if r := noneOr(isDict)(in[k]); r != "" {
				return badRequest("Invalid input for profile. Reason: %s.", r)
			}
			b.Profile, _ = in[k].(map[string]any)
		default:
			return badRequest("Unrecognized attribute(s) '%s'", k)
		}
	}
	return nil
}

func (c *call) bindingValue(p *model.Port, b model.HostBinding, active bool) map[string]any {
	typ, details := "unbound", map[string]any{}
	if b.Host != "" && !b.Released {
		typ, details = c.vifOn(p, b.Host, b.VNICType)
	}
	profile := b.Profile
	if profile == nil {
		profile = map[string]any{}
	}
	status := "INACTIVE"
	if active {
		status = model.StatusActive
	}
	return map[string]any{"host": string(b.Host), "vif_type": typ, "vif_details": details, "vnic_type": b.VNICType, "profile": profile, "status": status}
}

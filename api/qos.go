package api

import (
	"net/http"
	"strings"

	"github.com/penstock/penstock/model"
)

var qosPolicyResource = new(Resource)

func init() {
	*qosPolicyResource = Resource{
		Name: "policy", Collection: "policies", Prefix: "/qos", Table: model.QosPolicies, AdminWrites: true, LooseMarker: true,
		New:      func() model.Object { return &model.QosPolicy{} },
		Missing:  func(id string) *Error { return notFound("QosPolicyNotFound", "QoS policy %s could not be found.", id) },
		Visible:  func(c *call, o model.Object, _ Values) bool { return qosShared(c, o.(*model.QosPolicy)) },
		NarrowBy: map[string]*model.Index{"tenant_id": model.QosPoliciesByProject, "project_id": model.QosPoliciesByProject},
		Create: func(c *call, o model.Object, in Values) error {
			if in.bool("is_default") {
				metaOf(o).Revision++
			}
			p := o.(*model.QosPolicy)
			if p.Shared {
				c.shareByRBAC("qos_policy", p)
			}
			return c.checkQosDefault(p)
		},
		Update: func(c *call, old, o model.Object, _ Values) error {
			was, p := old.(*model.QosPolicy), o.(*model.QosPolicy)
			if was.Shared != p.Shared {
				if err := c.changeShared("qos_policy", p, p.Shared); err != nil {
					return err
				}
			}
			return c.checkQosDefault(p)
		},
		Delete: func(c *call, o model.Object) error {
			id := metaOf(o).ID
			c.tx.Guard(qosGuard(id))
			for _, t := range []struct {
				table *model.Table
				name  string
			}{{model.Ports, "port"}, {model.Networks, "network"}, {model.FloatingIPs, "floatingip"}} {
				for x := range c.src().Each(t.table) {
					if metaOf(x).Extra["qos_policy_id"] == any(id) {
						return conflict("QosPolicyInUse", "QoS Policy %s is used by %s %s.", id, t.name, x.ObjectID())
					}
				}
			}
			for _, r := range c.view().QosRulesOf(id) {
				c.tx.Delete(model.QosRules, r.ID)
			}
			c.forgetRBAC("qos_policy", id)
			return nil
		},
		Attrs: attrs(
			idAttr(), nameAttr("", isString(255)),
			Attr{Name: "shared", Ops: C | U | V | F, Default: false, Conv: convBool, Still: true,
				Get: getc(func(c *call, p *model.QosPolicy) any { return qosShared(c, p) }),
				Set: put(func(p *model.QosPolicy, v any) { p.Shared = v.(bool) })},
			tenantAttr(), projectAttr(),
			Attr{Name: "rules", Ops: V, Get: getc(func(c *call, p *model.QosPolicy) any {
				out := []any{}
				for _, r := range c.view().QosRulesOf(p.ID) {
					m := map[string]any{"type": r.Type, "qos_policy_id": r.PolicyID}
					for _, res := range qosRuleResources {
						if res.Is(r) {
							for _, a := range res.Attrs {
								if a.Ops&V != 0 {
									m[a.Name] = a.Get(c, r)
								}
							}
						}
					}
					out = append(out, m)
				}
				return out
			})},
			Attr{Name: "is_default", Ops: C | U | V | F, Default: false, Conv: convBool,
				Get: get(func(p *model.QosPolicy) any { return p.Default }),
				Set: put(func(p *model.QosPolicy, v any) { p.Default = v.(bool) })},
			standardAttrs(), tagAttrs(), descriptionAttr(),
		),
	}
}

func qosGuard(id string) string { return "qospolicy/" + id }

func qosShared(c *call, p *model.QosPolicy) bool {
	return p.Shared || c.sharedByRBAC("qos_policy", p.ID)
}

func (c *call) checkQosDefault(p *model.QosPolicy) error {
	if !p.Default {
		return nil
	}
	for _, o := range c.src().List(model.QosPoliciesByProject, p.ProjectID) {
		if x := o.(*model.QosPolicy); x.Default && x.ID != p.ID {
			return conflict("QoSPolicyDefaultAlreadyExists", "A default QoS policy exists for project %s.", p.ProjectID)
		}
	}
	return nil
}

// checkQos checks a qos_policy_id that an object is to have.
func (c *call) checkQos(in Values) error {
	id := in.str("qos_policy_id")
	if id == "" {
		return nil
	}
	if o := c.src().Get(model.QosPolicies, id); o == nil || !c.sees(qosPolicyResource, o) {
		return qosPolicyResource.Missing(id)
	}
	c.tx.Exists(model.QosPolicies, id)
	c.tx.Touch(qosGuard(id))
	return nil
}

// qosRule declares one kind of rule.
func qosRule(kind string, own ...Attr) *Resource {
	return &Resource{
		Name: kind + "_rule", Collection: kind + "_rules", Table: model.QosRules, Parent: qosPolicyResource, ParentAttr: "qos_policy_id",
		NoTags: true, AdminWrites: true,
		New: func() model.Object { return &model.QosRule{Type: kind} },
		Missing: func(id string) *Error {
			return notFound("QosRuleNotFound", "QoS rule %s could not be found.", id)
		},
		MissingIn: func(parent, id string) *Error {
			return notFound("QosRuleNotFound", "QoS rule %s for policy %s could not be found.", id, parent)
		},
		Visible: func(c *call, o model.Object, _ Values) bool {
			p := c.src().Get(model.QosPolicies, o.(*model.QosRule).PolicyID)
			return p != nil && c.sees(qosPolicyResource, p)
		},
		Is: func(o model.Object) bool { return o.(*model.QosRule).Type == kind },
		Create: func(c *call, o model.Object, in Values) error {
			r := o.(*model.QosRule)
			r.PolicyID = in.str("qos_policy_id")
			p := c.src().Get(model.QosPolicies, r.PolicyID)
			if p == nil {
				return qosPolicyResource.Missing(r.PolicyID)
			}
			r.ProjectID = metaOf(p).ProjectID
			c.bump(model.QosPolicies, r.PolicyID)
			return qosConflict(c, r)
		},
		Update: func(c *call, _, o model.Object, _ Values) error {
			r := o.(*model.QosRule)
			c.bump(model.QosPolicies, r.PolicyID)
			return qosConflict(c, r)
		},
		Delete: func(c *call, o model.Object) error {
			c.bump(model.QosPolicies, o.(*model.QosRule).PolicyID)
			return nil
		},
		Attrs: append(own, Attr{Name: "id", Ops: V | F | S, Get: idAttr().Get},
			Attr{Name: "qos_policy_id", Get: get(func(r *model.QosRule) any { return r.PolicyID })}),
	}
}

// qosConflict: a policy has one rule of a kind and direction.
func qosConflict(c *call, r *model.QosRule) error {
	for _, x := range c.view().QosRulesOf(r.PolicyID) {
		if x.ID != r.ID && x.Type == r.Type && x.Direction == r.Direction {
			return conflict("QoSRulesConflict", "Rule %s conflicts with rule %s which already exists in QoS Policy %s.", r.Type, x.ID, r.PolicyID)
		}
	}
	return nil
}

func qosNumber(name string, def any, ops Ops, f func(r *model.QosRule) *int) Attr {
	return Attr{Name: name, Ops: ops | U | V | F | S, Default: def, Conv: convInt, Check: inRange(0, 1<<31-1),
		Get: get(func(r *model.QosRule) any { return *f(r) }),
		Set: put(func(r *model.QosRule, v any) { *f(r) = int(v.(int64)) })}
}

// qosDirection is what lists of one kind of rule can be filtered and sorted by, and of the other not, as in the reference.
func qosDirection(ops Ops) Attr {
	return Attr{Name: "direction", Ops: C | U | V | ops, Default: "egress", Check: isOneOf("egress", "ingress"),
		Get: get(func(r *model.QosRule) any { return r.Direction }),
		Set: put(func(r *model.QosRule, v any) { r.Direction = v.(string) })}
}

// dscpMarks are the values that RFC 2474, 2597, 3246 and 5865 name.
var dscpMarks = []any{int64(0), int64(8), int64(10), int64(12), int64(14), int64(16), int64(18), int64(20), int64(22), int64(24), int64(26), int64(28),
	int64(30), int64(32), int64(34), int64(36), int64(38), int64(40), int64(44), int64(46), int64(48), int64(56)}

// qosRuleResources are filled in before declare runs.
var qosRuleResources []*Resource

func init() {
	qosRuleResources = []*Resource{
		qosRule("bandwidth_limit",
			qosNumber("max_kbps", required, C, func(r *model.QosRule) *int { return &r.MaxKbps }),
			qosNumber("max_burst_kbps", int64(0), C, func(r *model.QosRule) *int { return &r.MaxBurst }), qosDirection(0)),
		qosRule("dscp_marking", Attr{Name: "dscp_mark", Ops: C | U | V | F | S, Default: required, Conv: convInt, Check: isOneOf(dscpMarks...),
			Get: get(func(r *model.QosRule) any { return r.DSCP }),
			Set: put(func(r *model.QosRule, v any) { r.DSCP = int(v.(int64)) })}),
		qosRule("minimum_bandwidth",
			qosNumber("min_kbps", required, C, func(r *model.QosRule) *int { return &r.MinKbps }), qosDirection(F|S)),
	}
}

// qosRuleTypes serves /qos/rule-types: what is stored and shown; its enforcement is not the API's.
func qosRuleTypes(c *call, parts []string, _ []byte) (*reply, error) {
	if len(parts) == 3 && c.req.Method == http.MethodGet {
		return qosRuleTypeDetails(c, parts[2])
	}
	if len(parts) != 2 || c.req.Method != http.MethodGet {
		return nil, hidden
	}
	var types []any
	for _, r := range qosRuleResources {
		types = append(types, map[string]any{"type": strings.TrimSuffix(r.Name, "_rule")})
	}
	return &reply{http.StatusOK, appendJSON(nil, map[string]any{"rule_types": types})}, nil
}

// qosRuleTypeDetails says, to admins, what a kind of rule may be given.
func qosRuleTypeDetails(c *call, kind string) (*reply, error) {
	if !c.who.Admin() {
		return nil, fail(http.StatusForbidden, "NotAuthorized", "Not authorized.")
	}
	for _, r := range qosRuleResources {
		if r.Name != kind+"_rule" {
			continue
		}
		params := []any{}
		for _, a := range r.Attrs {
			p := map[string]any{"parameter_name": a.Name, "parameter_type": "range", "parameter_values": map[string]any{"start": 0, "end": 1<<31 - 1}}
			switch {
			case a.Ops&U == 0:
				continue
			case a.Name == "direction":
				p["parameter_type"], p["parameter_values"] = "choices", []string{"ingress", "egress"}
			case a.Name == "dscp_mark":
				p["parameter_type"], p["parameter_values"] = "choices", dscpMarks
			}
			params = append(params, p)
		}
		return &reply{http.StatusOK, appendJSON(nil, map[string]any{"rule_type": map[string]any{"type": kind,
			"drivers": []any{map[string]any{"name": "openvswitch", "supported_parameters": params}}}})}, nil
	}
	return nil, notFound("QosRuleTypeNotFound", "There is no QoS rule type %s.", kind)
}

// defaultQos is the id of a project's default policy, "" if it has none.
func (c *call) defaultQos(project string) string {
	for _, o := range c.src().List(model.QosPoliciesByProject, project) {
		if p := o.(*model.QosPolicy); p.Default {
			return p.ID
		}
	}
	return ""
}

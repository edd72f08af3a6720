package api

import (
	"net/http"
	"slices"

	"github.com/penstock/penstock/model"
)

// logResource is Neutron's network log: what is to be logged of what security groups let pass and drop.
var logResource = new(Resource)

func init() {
	*logResource = Resource{
		Name: "log", Collection: "logs", Prefix: "/log", Table: model.Logs, AdminOnly: true, NoTags: true,
		New: func() model.Object { return &model.Log{} },
		Missing: func(id string) *Error {
			return notFound("LogResourceNotFound", "Log resource %s could not be found.", id)
		},
		NarrowBy: map[string]*model.Index{"project_id": model.LogsByProject, "tenant_id": model.LogsByProject, "resource_id": model.LogsByObject, "target_id": model.LogsByObject},
		Create:   func(c *call, o model.Object, _ Values) error { return c.checkLog(o.(*model.Log)) },
		Attrs: attrs(
			idAttr(), nameAttr("", isString(255)), projectAttr(), tenantAttr(),
			Attr{Name: "resource_type", Ops: C | V | F | S, Default: required, Check: isString(255),
				Get: get(func(l *model.Log) any { return l.ResourceType }), Set: put(func(l *model.Log, v any) { l.ResourceType = v.(string) })},
			Attr{Name: "resource_id", Ops: C | V | F | S, Default: nil, Check: noneOr(isUUID),
				Get: get(func(l *model.Log) any { return orNull(l.ResourceID) }), Set: put(func(l *model.Log, v any) { l.ResourceID, _ = v.(string) })},
			Attr{Name: "target_id", Ops: C | V | F | S, Default: nil, Check: noneOr(isUUID),
				Get: get(func(l *model.Log) any { return orNull(string(l.TargetID)) }), Set: put(func(l *model.Log, v any) {
					s, _ := v.(string)
					l.TargetID = model.PortID(s)
				})},
			Attr{Name: "event", Ops: C | V | F, Default: model.LogAll, Check: isOneOf(model.LogAccept, model.LogDrop, model.LogAll),
				Get: get(func(l *model.Log) any { return l.Event }), Set: put(func(l *model.Log, v any) { l.Event = v.(string) })},
			Attr{Name: "enabled", Ops: C | U | V | F | S, Default: true, Conv: convBool,
				Get: get(func(l *model.Log) any { return l.Enabled }), Set: put(func(l *model.Log, v any) { l.Enabled = v.(bool) })},
			standardAttrs(), descriptionAttr(),
		),
	}
}

// loggable is the one type of resource that can be logged.
const loggable = "security_group"

// checkLog checks what a new log is about.
func (c *call) checkLog(l *model.Log) error {
	if l.ResourceType != loggable {
		return fail(http.StatusBadRequest, "InvalidLogResourceType", "Invalid log resource_type: %s.", l.ResourceType)
	}
	if l.ResourceID != "" {
		if _, ok := c.view().SecurityGroup(l.ResourceID); !ok {
			return notFound("ResourceNotFound", "Resource %s could not be found.", l.ResourceID)
		}
		c.holdGroups([]string{l.ResourceID})
	}
	if l.TargetID == "" {
		return nil
	}
	p, ok := c.view().Port(l.TargetID)
	switch {
	case !ok:
		return notFound("TargetResourceNotFound", "Target resource %s could not be found.", l.TargetID)
	case p.VNICType != "normal":
		return conflict("LoggingTypeNotSupported", "Logging type %s is not supported on port %s.", loggable, p.ID)
	case l.ResourceID != "" && !slices.Contains(p.SecurityGroups, l.ResourceID):
		return fail(http.StatusBadRequest, "InvalidResourceConstraint", "Invalid resource constraint between resource (%s %s) and target resource (port %s).", loggable, l.ResourceID, p.ID)
	}
	c.tx.Exists(model.Ports, p.ID)
	return nil
}

// forgetLogs takes away the logs that name an object that goes.
func (c *call) forgetLogs(id string) {
	for _, o := range c.src().List(model.LogsByObject, id) {
		c.tx.Delete(model.Logs, o.ObjectID())
	}
}

// loggableResources answers what can be logged.
func loggableResources(c *call, parts []string, _ []byte) (*reply, error) {
	if len(parts) != 2 || c.req.Method != http.MethodGet {
		return nil, hidden
	}
	l := []any{}
	if c.who.Admin() {
		l = append(l, map[string]any{"type": loggable})
	}
	return &reply{http.StatusOK, appendJSON(nil, map[string]any{"loggable_resources": l})}, nil
}

package secgroup

import (
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
)

// The kinds of logging. Nothing of them is there without a network log, and a port's own unit does not know of logs: that
// one is made touches the ports that it is about and no others.
var (
	// Log is one network log that is on: it asks for the ports that it is about.
	Log = &pipeline.Kind{Name: "log", Order: 65, Shared: true, Derive: log}
	// LoggedPort is a port that some log is about, wherever it is.
	LoggedPort = &pipeline.Kind{Name: "logged-port", Order: 66, Shared: true, Derive: loggedPort}
	// LocalLog is the flows of a logged port on a host that has its VIF.
	LocalLog = &pipeline.Kind{Name: "local-log", Order: 67, Derive: localLog}
)

// Logs asks for every network log that is on.
func Logs(out *pipeline.Out) {
	out.NeedEach(pipeline.Each{Index: model.LogsEnabled, Key: "all", Kind: Log})
}

func log(v model.View, _ pipeline.Switch, id string, out *pipeline.Out) {
	l, ok := v.Log(id)
	switch {
	case !ok || !l.Enabled:
	case l.TargetID != "":
		out.Need(LoggedPort, "", string(l.TargetID))
	case l.ResourceID != "":
		out.NeedEach(pipeline.Each{Index: model.PortsBySecurityGroup, Key: l.ResourceID, Kind: LoggedPort})
	default:
		out.NeedEach(pipeline.Each{Index: model.PortsByProject, Key: l.ProjectID, Kind: LoggedPort})
	}
}

func loggedPort(v model.View, _ pipeline.Switch, id string, out *pipeline.Out) {
	for _, b := range v.BindingsOf(model.PortID(id)) {
		out.Need(LocalLog, b.Host, id)
	}
}

// logBytes is how much of a packet is shown to the controller: all headers.
const logBytes = 192

func localLog(v model.View, sw pipeline.Switch, id string, out *pipeline.Out) {
	b, ok := v.Binding(sw.Host, model.PortID(id))
	p, ok2 := v.Port(model.PortID(id))
	if !ok || !ok2 || b.OFPort == 0 || !p.AdminStateUp || !p.Secured() {
		return
	}
	accept, drop := false, false
	for _, l := range v.LogsOf(p) {
		accept, drop = accept || l.Wants(model.LogAccept), drop || l.Wants(model.LogDrop)
	}
	if !accept && !drop {
		return
	}
	_, stateful := portGroups(v, p)
	out.For(model.Ports, p.Key)
	meter := pipeline.MeterID(b.Slot, pipeline.MeterLog)
	out.AddMeter(pipeline.BrInt, meter, sw.Settings.LogPPS, sw.Settings.LogBurst)
	show := func(what pipeline.Handler) openflow.Action {
		return openflow.Controller{MaxLen: logBytes, Reason: 1, HasMeter: true, MeterID: meter,
			UserData: string(pipeline.UserData(pipeline.HandlerLog|what, p.Key))}
	}
	for _, d := range []struct {
		accept, drop, invalid *pipeline.Rule
		at                    pipeline.Term
		next                  *pipeline.Table
		what                  pipeline.Handler
	}{
		{pipeline.LogAcceptOut, pipeline.LogDropOut, pipeline.LogInvalidOut, pipeline.InPort.Key(p.Key), pipeline.ARPResponder, 0},
		{pipeline.LogAcceptIn, pipeline.LogDropIn, pipeline.LogInvalidIn, pipeline.OutPort.Key(p.Key), pipeline.Output, pipeline.LogIngress},
	} {
		if drop {
			out.Add(d.drop, pipeline.Match{d.at}, show(d.what|pipeline.LogDropped))
			if stateful {
				out.Add(d.invalid, pipeline.Match{d.at, invalid}, show(d.what|pipeline.LogDropped|pipeline.LogInvalid))
			}
		}
		if !accept {
			continue
		}
		allowed := pipeline.Allowed.Is(1)
		if !stateful { // each packet is judged by itself, and shown
			out.Add(d.accept, pipeline.Match{d.at, allowed}, show(d.what), pipeline.Allowed.Load(0), pipeline.Goto(d.next))
			continue
		}
		for _, v6 := range []bool{false, true} {
			out.Add(d.accept, pipeline.Match{d.at, family(v6), allowed, fresh}, show(d.what),
				openflow.CT{Commit: true, ZoneField: pipeline.CTZone.Sub()}, pipeline.Allowed.Load(0), pipeline.Goto(d.next))
		}
	}
}

package pipeline

// HandlerLog and the seven numbers after it get what is to be logged: LogHandler adds what happened.
const HandlerLog Handler = 0x40

// What is added to HandlerLog.
const (
	LogIngress Handler = 1 << iota // to the port; else from it
	LogDropped                     // else the first packet of what was let pass
	LogInvalid                     // dropped since it belongs to no connection
)

// IsLog says whether a handler is one of those.
func (h Handler) IsLog() bool { return h&^(LogIngress|LogDropped|LogInvalid) == HandlerLog }

// The rules of logging: of ports that a network log is about, and of no others. They say again what the rule below them
// says, and show the controller the packet.
var (
	LogInvalidOut = EgressJudge.Rule(660, 210, "what a logged port sends and belongs to no connection is dropped and logged")
	LogAcceptOut  = EgressVerdict.Rule(661, 130, "the first packet of a connection that a logged port may open is logged")
	LogDropOut    = EgressVerdict.Rule(662, 105, "what a logged port sends and no rule allows is dropped and logged")
	LogInvalidIn  = IngressJudge.Rule(663, 210, "what a logged port would get and belongs to no connection is dropped and logged")
	LogAcceptIn   = IngressVerdict.Rule(664, 130, "the first packet of a connection that may be opened towards a logged port is logged")
	LogDropIn     = IngressVerdict.Rule(665, 105, "what a logged port would get and no rule allows is dropped and logged")
)

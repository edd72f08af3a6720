module github.com/penstock/penstock/openflow/peerbench

go 1.26.0

require (
	github.com/contiv/libOpenflow v0.0.0-20210609050114-d967b14cc688
	github.com/penstock/penstock v0.0.0
	github.com/sirupsen/logrus v1.9.4
)

require golang.org/x/sys v0.49.0 // indirect

replace github.com/penstock/penstock => ../..
